"""What an attempt begins from, how it ends early, and what it leaves behind."""

from dataclasses import dataclass, replace

from reconciler.attempt.guarded_switch import RolledBackError
from reconciler.attempt.look import Look
from reconciler.attempt.snippets import failed_snippets
from reconciler.errors import ReconcilerError, StoppingError, TemporaryError
from reconciler.model import (
    Attempt,
    Desired,
    Guard,
    HostName,
    Observed,
    Outcome,
    StorePath,
)
from reconciler.plan import Baseline, runs
from reconciler.world import Common

REMEMBERED = 20
"""Attempts on a host among which an earlier one at the same system is looked for."""


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


def baseline_of(world: Common, desired: Desired, seen: Look) -> Baseline:
    """
    Return what counts of a host from before a switch to *desired*.

    Where it is switched once more to what runs already, without that having been
    confirmed, what is broken by now may have been broken by the first switch. So what
    was recorded before that one counts still; and nothing is excused if nothing was.
    """
    observed = seen.observed
    confirmed = seen.known.applied == desired.toplevel
    if confirmed or not runs(desired, observed):
        found = Baseline.of(desired, observed)
        ill = _failing_snippets(world, desired.host, observed.running)
        return replace(found, snippets=ill)
    return replace(_recorded_before(world, desired), boot_id=observed.boot_id)


def _recorded_before(world: Common, desired: Desired) -> Baseline:
    """Return what the last attempt to bring *desired* to its host began from."""
    history = world.history
    for attempt in history.attempts(host=desired.host, limit=REMEMBERED):
        if attempt.target != desired.toplevel:
            continue
        if (guard := history.guard(attempt.id)) and guard.baseline:
            return baseline_in(guard)
    return Baseline(boot_id="")


def _failing_snippets(
    world: Common, host: HostName, running: StorePath | None
) -> frozenset[str]:
    """
    Return which snippets of its activation script fail in the system that runs.

    That shows whenever the host goes back to it.
    """
    for attempt in world.history.attempts(host=host, limit=REMEMBERED):
        if attempt.source == running and attempt.outcome is Outcome.ROLLED_BACK:
            return failed_snippets("\n".join(world.history.attempt_log(attempt.id)))[1]
    return frozenset()


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
    if not runs(desired, observed) or observed.profile == desired.toplevel:
        return observed.running
    return observed.profile or observed.running


def outcome_of(error: ReconcilerError) -> Outcome:
    """Return how an attempt ended that *error* ended."""
    if isinstance(error, SupersededError | StoppingError | AbandonedError):
        return Outcome.INTERRUPTED
    if isinstance(error, RolledBackError):
        return Outcome.ROLLED_BACK
    return Outcome.FAILED
