"""Measure, print what was measured and which target it meets."""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

from rich.console import Console

from tests.bench import cage, memory, passes, push, reboot, spared
from tests.bench.report import Section, show
from tests.bench.setting import fleet_in, scratch
from tests.support import warm

PARTS = ("push", "spared", "reboot", "pass", "memory", "cage")


def main() -> int:
    """Run the benchmark; exit status 0 whether targets are met or not."""
    chosen = arguments()
    # The answer alone on stdout, so that --json can be piped.
    console = Console(stderr=chosen.json, width=None if sys.stdout.isatty() else 100)
    console.print(machine(), style="dim", highlight=False)
    sections = []
    warm.use_starter = False
    with scratch() as folder, fleet_in(folder) as fleet:
        if "push" in chosen.only:
            sections.append(push.measure(made(folder, "push"), fleet, chosen.rounds))
            show(sections[-1], console)
        if "spared" in chosen.only:
            sections.append(spared.measure(made(folder, "spared"), chosen.rounds))
            show(sections[-1], console)
        if "reboot" in chosen.only:
            where = made(folder, "reboot")
            sections.append(reboot.measure(where, fleet, chosen.rounds))
            show(sections[-1], console)
        if "pass" in chosen.only:
            where = made(folder, "pass")
            found = passes.measure(where, fleet, chosen.rounds, peers=chosen.peers)
            sections.append(found)
            show(sections[-1], console)
        if "memory" in chosen.only:
            sections.append(memory.measure(made(folder, "memory"), fleet))
            show(sections[-1], console)
        if "cage" in chosen.only:
            sections.append(cage.measure(made(folder, "cage"), chosen.rounds))
            show(sections[-1], console)
    if chosen.json:
        print_json(sections)
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    add = parser.add_argument
    add("--json", action="store_true", help="print JSON on stdout, tables on stderr")
    add("--rounds", type=int, default=5, metavar="N", help="of each kind (default: 5)")
    add("--only", nargs="+", choices=PARTS, default=PARTS, help="leave out the others")
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
