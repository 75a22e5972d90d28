"""What one trial is: drawn from a seed and its number, and from nothing else."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from reconciler.attempt.limits import ARM_SECONDS
from tests.support.faults.checker import Ends
from tests.support.faults.injectors import (
    FAULTS,
    Clock,
    Fault,
    Frozen,
    StateFails,
    StateFull,
)
from tests.support.faults.releases import BAD, GOOD, ODD
from tests.support.faults.usual import CUT_OFF, USUAL
from tests.support.rig import Rig

TAKEN_BACK = {**BAD, **CUT_OFF}
KEPT = {**ODD, **GOOD, **USUAL}
PLAIN_SHARE = 0.4
PATIENCE = 15.0  # seconds: `policy.switch_timeout`
MOMENTS = 6.0  # seconds after the push within which faults strike a good release
MOMENTS_OF_BAD = 2 * PATIENCE  # and a bad one, which is also gone back from
LASTS = (0.1, 2 * PATIENCE)  # seconds until a fault ends
FREEZES = (1.0, 2 * ARM_SECONDS)  # up to twice the longest deadline of a switch
DAY = 86400.0


@dataclass(frozen=True, slots=True)
class AnotherCommit:
    """Somebody pushes once more; nothing to do for the host."""

    def strike(self, rig: Rig) -> None:
        """Push."""
        rig.push("Nothing that matters to the host")

    def end(self, rig: Rig) -> None:
        """Do nothing: it is over."""


@dataclass(frozen=True, slots=True)
class ForcePush:
    """Somebody takes the release back, as if it had never been."""

    def strike(self, rig: Rig) -> None:
        """Force the branch to the commit before."""
        rig.repository.git("reset", "-q", "--hard", "HEAD~1")
        rig.repository.git("push", "-q", "--force", "origin", "HEAD:main")

    def end(self, rig: Rig) -> None:
        """Do nothing: it is over."""


@dataclass(frozen=True, slots=True)
class ClockJump:
    """The daemon's clock jumps, and is set right again."""

    clock: Clock
    seconds: float

    def strike(self, rig: Rig) -> None:
        """Set it."""
        assert rig.daemon is not None
        self.clock.set(self.seconds)

    def end(self, rig: Rig) -> None:
        """Set it right."""
        assert self.clock.path.parent == rig.folder
        self.clock.set(0.0)


FORCE_PUSH = "a force-push takes it back"
FROZEN = "the host freezes"


def faults(clock: Clock, full: StateFull, fails: StateFails) -> Mapping[str, Fault]:
    """Return every fault by its name."""
    return {
        **{k: v for k, v in FAULTS.items() if not isinstance(v, Frozen)},
        FROZEN: Frozen(0.0),  # for as long as is drawn
        "another commit": AnotherCommit(),
        FORCE_PUSH: ForcePush(),
        "the clock jumps ahead": ClockJump(clock, DAY),
        "the clock jumps back": ClockJump(clock, -DAY),
        "the state directory is full": full,
        "the disk of the state fails": fails,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One trial."""

    release: str  # its name above; empty for one that is just good
    fault: str
    at: float  # seconds after the push
    lasts: float  # seconds

    @classmethod
    def of(cls, seed: int, number: int, names: list[str]) -> Self:
        """Draw trial *number*; *names* are those of the faults."""
        dice = random.Random(f"{seed}/{number}")  # noqa: S311 # not for secrets
        plain = dice.random() < PLAIN_SHARE
        release = "" if plain else dice.choice([*TAKEN_BACK, *KEPT])
        fault = dice.choice(names)
        shortest, longest = FREEZES if fault == FROZEN else LASTS
        return cls(
            release=release,
            fault=fault,
            at=dice.uniform(0.0, MOMENTS_OF_BAD if release in TAKEN_BACK else MOMENTS),
            # As many short ones as long ones: a second matters as much as a minute.
            lasts=math.exp(dice.uniform(math.log(shortest), math.log(longest))),
        )

    @property
    def nix(self) -> str:
        """What makes the release what it is."""
        return {**TAKEN_BACK, **KEPT}.get(self.release, "")

    @property
    def ends(self) -> Ends:
        """Where the host is to end."""
        if self.fault == FORCE_PUSH:
            return Ends.BACK
        if self.release in TAKEN_BACK:
            return Ends.OLD
        # What stands still in the middle of a switch looks like one that hangs.
        stands_still = self.fault == FROZEN and self.lasts > PATIENCE / 2
        return Ends.EITHER if stands_still else Ends.NEW

    def __str__(self) -> str:
        what = self.release or "a good release"
        return f"{what}; {self.fault} at {self.at:.1f} s for {self.lasts:.1f} s"
