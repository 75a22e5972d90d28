"""Measure, print what was measured and which target it meets."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from tests.bench import (
    cage,
    memory,
    passes,
    push,
    real,
    reboot,
    scrape,
    spared,
    thousand,
)
from tests.bench.report import Section, show
from tests.bench.setting import fleet_in, scratch
from tests.support import warm
from tests.support.fleet import Fleet

PARTS = (
    *("push", "spared", "reboot", "pass", "memory", "scrape", "thousand"),
    *("cage", "real"),
)


def main() -> int:
    """Run the benchmark; exit status 0 whether targets are met or not."""
    chosen = arguments()
    # The answer alone on stdout, so that --json can be piped.
    console = Console(stderr=chosen.json, width=None if sys.stdout.isatty() else 100)
    console.print(machine(), style="dim", highlight=False)
    sections = []
    warm.use_starter = False
    with scratch() as folder, fleet_in(folder) as fleet:
        for name, measure in measures(fleet, chosen).items():
            found = measure(made(folder, name)) if name in chosen.only else None
            if found is not None:
                sections.append(found)
                show(found, console)
    if chosen.json:
        print_json(sections)
    return 0


def measures(
    fleet: Fleet, chosen: argparse.Namespace
) -> Mapping[str, Callable[[Path], Section | None]]:
    """Return what measures each part, in a folder of its own."""
    rounds: int = chosen.rounds
    return {
        "push": lambda folder: push.measure(folder, fleet, rounds),
        "spared": lambda folder: spared.measure(folder, rounds),
        "reboot": lambda folder: reboot.measure(folder, fleet, rounds),
        "pass": lambda folder: passes.measure(
            folder, fleet, rounds, peers=chosen.peers
        ),
        "memory": lambda folder: memory.measure(folder, fleet),
        "scrape": lambda folder: scrape.measure(folder, rounds),
        "thousand": lambda folder: thousand.measure(folder, fleet, chosen.hosts),
        "cage": lambda folder: cage.measure(folder, rounds),
        "real": real.measure,
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    add = parser.add_argument
    add("--json", action="store_true", help="print JSON on stdout, tables on stderr")
    add("--rounds", type=int, default=5, metavar="N", help="of each kind (default: 5)")
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="leave out the others")
    add("--hosts", type=int, default=100, metavar="N", help="at rest (default: 100)")
    add(
        "--without-peers",
        dest="peers",
        action="store_false",
        help="leave out pyinfra and Ansible, which are installed from PyPI",
    )
    return parser.parse_args()


def machine() -> str:
    """Return what the figures depend on besides the program."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"Linux {platform.release()}, load {load}"
    )


def made(folder: Path, name: str) -> Path:
    """Make and return a folder in *folder*."""
    path = folder / name
    path.mkdir()
    return path


def print_json(sections: list[Section]) -> None:
    """Print everything on stdout."""
    whole = {
        "machine": machine(),
        "sections": [section.as_dict() for section in sections],
    }
    sys.stdout.write(json.dumps(whole, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
