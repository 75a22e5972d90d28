"""See the package."""

import argparse
import contextlib
import os
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.draw import PATIENCE, Draw, faults
from tests.support.faults.checker import QUARANTINED, Complaint, check_settled
from tests.support.faults.disk import state_disk
from tests.support.faults.injectors import Clock, Fault, StateFails, StateFull
from tests.support.faults.releases import HOST
from tests.support.faults.trial import Trial, faulty_rig, struck
from tests.support.fleet import Reaper, fleets
from tests.support.rig import Rig
from tests.support.wait import let_pass, stretched

CONFIRM_TIMEOUT = 8.0  # seconds, where the machine has nothing else to do
WITHIN = 240.0  # seconds; somebody who stops the guardian costs 90 of them
SEEDS = 3
TRIALS = 200


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each fault struck, and how often all promises were kept."""

    tried: Counter[str] = field(default_factory=Counter)
    survived: Counter[str] = field(default_factory=Counter)
    again: list[str] = field(default_factory=list)
    """How to have those again that were not."""

    @property
    def broken(self) -> int:
        """How often a promise was broken."""
        return self.tried.total() - self.survived.total()

    def table(self) -> Iterator[str]:
        """Return lines for people."""
        yield f"{'tried':>6} {'survived':>8}  fault"
        for name, tried in sorted(self.tried.items()):
            yield f"{tried:6} {self.survived[name]:8}  {name}"
        yield f"{self.tried.total():6} {self.survived.total():8}  all"


def policy() -> Mapping[str, object]:
    """Return the deadlines, which good releases keep on a busy machine, too."""
    return {
        "settle": "0.5s",
        "confirm_timeout": f"{stretched(CONFIRM_TIMEOUT):.1f}s",
        "switch_timeout": f"{stretched(PATIENCE):.1f}s",
    }


@contextlib.contextmanager
def ground(reaper: Reaper) -> Iterator[tuple[Rig, Mapping[str, Fault]]]:
    """Yield a sound host with its daemon, and the faults that can strike them."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fleet = stack.enter_context(fleets(folder / "fleets", reaper))
        disk = stack.enter_context(state_disk(folder / "state", reaper))
        rig = stack.enter_context(faulty_rig(folder, fleet(HOST), policy()))
        clock = Clock(folder / "offset")
        clock.set(0.0)
        rig.changed = (f"clock={clock.path}",)
        rig.stop_daemon()
        rig.run_daemon()
        yield rig, faults(clock, StateFull(disk), StateFails(disk))


def attempt(rig: Rig, draw: Draw, fault: Fault) -> str:
    """Carry out one trial; return what promise was broken, nothing if none was."""
    trial, good = Trial(rig), rig.repository.head
    trial.push(draw.nix, "--force")
    let_pass(draw.at)
    with struck(rig, fault):
        let_pass(draw.lasts)
    try:
        # Whoever was away for long is asked again after as long at most.
        check_settled(rig, trial.before, draw.ends, within=WITHIN + draw.lasts)
    except Complaint as complaint:
        return str(complaint)
    if rig.status()[HOST]["verdict"] == QUARANTINED:
        # The next push replaces it: nothing that failed is ever the way back.
        rig.repository.git("reset", "-q", "--hard", good)
    return ""


def run(seed: int, numbers: Sequence[int], counts: Counts) -> None:
    """Carry out the trials *numbers*; begin on new ground after one that went wrong."""
    reaper = Reaper()
    left = list(numbers)
    while left:
        with ground(reaper) as (rig, known):
            whole = True
            while whole and left:
                number = left.pop(0)
                draw = Draw.of(seed, number, list(known))
                began = time.monotonic()
                complaint = attempt(rig, draw, known[draw.fault])
                whole = not complaint
                counts.tried[draw.fault] += 1
                counts.survived[draw.fault] += whole
                word = "survived" if whole else "BROKEN"
                seconds = time.monotonic() - began
                say(f"{number:5} {word:8} {seconds:6.1f} s  {draw}")
                if not whole:
                    say(f"{complaint}\nagain: make chaos SEED={seed} TRIAL={number}")
                    counts.again.append(f"SEED={seed} TRIAL={number}")
    reaper.close()


def say(line: str) -> None:
    """Tell a person."""
    print(line, flush=True)  # noqa: T201 # a program of its own


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, nargs="+", help="default: three new ones")
    parser.add_argument("--trials", type=int, default=TRIALS, help="from each seed")
    parser.add_argument("--trial", type=int, help="this one only")
    arguments = parser.parse_args()
    seeds = arguments.seed or [secrets.randbelow(10**6) for _ in range(SEEDS)]
    only = arguments.trial
    numbers = [only] if only else range(1, arguments.trials + 1)
    if os.geteuid() != 0:
        say("real hosts need root")
        return 2
    counts = Counts()
    with contextlib.suppress(KeyboardInterrupt):
        for seed in seeds:
            say(f"seed {seed}: {len(numbers)} trials")
            run(seed, numbers, counts)
    for line in counts.table():
        say(line)
    for one in counts.again:
        say(f"again: make chaos {one}")
    say(f"seeds {' '.join(map(str, seeds))}: {counts.broken} broken")
    return 1 if counts.broken else 0


if __name__ == "__main__":
    sys.exit(main())
