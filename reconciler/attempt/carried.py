"""What an attempt begins from, how it ends early, and what it leaves behind."""

from dataclasses import dataclass

from reconciler.attempt.guarded_switch import RolledBackError
from reconciler.attempt.look import Look
from reconciler.errors import ReconcilerError, StoppingError, TemporaryError
from reconciler.model import Attempt, Desired, Guard, Observed, Outcome, StorePath
from reconciler.plan import Baseline


class SupersededError(TemporaryError):
    """A newer commit arrived before the host was touched."""

    def __init__(self) -> None:
        super().__init__("a newer commit arrived before the host was touched")


class AbandonedError(TemporaryError):
    """The process that made the attempt ended before it touched the host."""

    def __init__(self) -> None:
        super().__init__("the reconciler ended before it touched the host")


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What an attempt left behind: its record and the last look at the host."""

    attempt: Attempt  # without an outcome: its guardian goes on, to be followed later
    seen: Look
    error: ReconcilerError | None = None


def baseline_of(desired: Desired, observed: Observed) -> Baseline:
    """
    Return what counts of *observed*, from before a switch to *desired*.

    A switch that is made once more excuses nothing: what is broken by now may have been
    broken by the first one.
    """
    if observed.running == desired.toplevel:
        return Baseline(boot_id=observed.boot_id)
    return Baseline.of(desired, observed)


def baseline_in(guard: Guard) -> Baseline:
    """Return what was recorded with an attempt; nothing is excused where it was not."""
    if not guard.baseline:
        return Baseline(boot_id=guard.boot_id)
    return Baseline.from_json(guard.baseline)


def source_of(desired: Desired, observed: Observed) -> StorePath | None:
    """
    Return the system to go back to.

    What runs; unless that is the new system already, left there by an attempt that
    nobody confirmed: then what the host would boot.
    """
    if observed.running != desired.toplevel:
        return observed.running
    return observed.profile or observed.running


def outcome_of(error: ReconcilerError) -> Outcome:
    """Return how an attempt ended that *error* ended."""
    if isinstance(error, SupersededError | StoppingError | AbandonedError):
        return Outcome.INTERRUPTED
    if isinstance(error, RolledBackError):
        return Outcome.ROLLED_BACK
    return Outcome.FAILED
