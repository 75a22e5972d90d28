"""
What the model of the activation protocol is made of, and the choices it can get wrong.

Actors are generators. Between two ``yield`` anything may happen: another actor goes on,
a fault strikes, or the generator is thrown away, which is the actor's death.
"""

import enum
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]


class Switch(enum.Enum):
    """How ``switch-to-configuration test`` of a system behaves."""

    WORKS = "works"
    FAILS = "fails half-way"
    HANGS = "hangs"
    REBOOT_FIRST = "wants a reboot first"


class Status(enum.Enum):
    """How one run of it ended."""

    DONE = "0 or 4"
    FAILED = "1, 2 or 3"
    OUT_OF_TIME = "it hung, or the host was frozen"
    LOCKED = "somebody else is switching"
    REBOOT_FIRST = "100"


@dataclass(frozen=True, kw_only=True)
class System:
    """A toplevel; the default is one with nothing wrong."""

    name: str
    keys: str = "keys of the first day"  # the content that its units need
    keys_first: bool = True  # whether they must be there before the switch
    switch: Switch = Switch.WORKS
    units_run: bool = True
    ssh_works: bool = True

    @property
    def good(self) -> bool:
        """Whether a host can be left on it."""
        return self.switch is Switch.WORKS and self.units_run and self.ssh_works


class Phase(enum.Enum):
    """What the guardian tells in its folder."""

    ARMED = "armed"
    SWITCHING = "switching"
    WAITING = "waiting"
    CONFIRMING = "confirming"
    ROLLING_BACK = "rolling-back"


class Decision(enum.Enum):
    """The first word wins."""

    CONFIRMED = "confirmed"
    UNHEALTHY = "rollback: judged unhealthy"
    NOBODY_CAME = "rollback: the deadline, or the guardian's death"


class Result(enum.Enum):
    """How the guardian ended."""

    CONFIRMED = "confirmed"
    ROLLED_BACK = "rolled-back"
    NOT_STARTED = "not-started"
    LOCKED = "locked"
    REBOOT_FIRST = "reboot-first"


class Outcome(enum.Enum):
    """What history says of an attempt."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What is written to history before anything is touched."""

    number: int
    old: System
    new: System
    boot: int


@dataclass(kw_only=True)
class Folder:
    """``/run/reconciler/<attempt>`` on the host: memory, gone with the boot."""

    kept_keys: str | None = None
    phase: Phase | None = None
    status: Status | None = None
    go: bool = False
    decision: Decision | None = None
    result: Result | None = None


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The protocol as it is; each field turned round makes it wrong."""

    deadline: bool = True  # without one, only the reconciler can end an attempt
    stop_post: bool = True
    new_connection: bool = True
    health_first: bool = True
    boot_default_last: bool = True
    atomic_decision: bool = True
    buries: bool = True  # an attempt given up for lost can no longer begin
    keys_while_held: bool = True  # none are taken that no guardian would put back
    outcome_by_what_runs: bool = True  # after a power cut; else by the profile
    blames_its_own_decision: bool = True  # quarantine only for a verdict that won
    counts_silence: bool = True  # quarantine after some ends that no verdict asked for
    raises_the_dead: bool = True  # a guardian killed with its ExecStopPost is replaced
    serves_last_good: bool = True  # a host in quarantine gets its own system's keys
