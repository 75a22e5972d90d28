"""
Which failed attempts put their system in quarantine on that host.

Only those that bring what a commit changes. What a person wanted back was not judged. A
heal brings back what the host was
confirmed with: that it fails says something of the host. Were that system condemned,
nothing on the host would be healed any more, keys included.
"""

from reconciler.attempt.ordered import WayBack
from reconciler.model import (
    Attempt,
    HostName,
    Outcome,
    Quarantine,
    Reason,
    StorePath,
    Verdict,
)
from reconciler.world import Common

SUSPECT_LIMIT = 3
"""
Times in a row that a system may end unconfirmed before it counts as failed.

Once may be the network or a power cut, which the next try does not meet. A system that
cuts itself off each time would else do so for ever.
"""
HALF_WAY_LIMIT = 20  # attempts without a good end until nobody looks further
_PROVED = (Reason.UNHEALTHY, Reason.SWITCH_FAILED, Reason.STUCK)
_SUSPECT = (Reason.UNCONFIRMED, Reason.REBOOTED, Reason.GUARDIAN)


def sentence(world: Common, attempt: Attempt) -> None:
    """Put the target of an attempt that has ended in quarantine, if it earned that."""
    if not _is_guilty(world, attempt):
        return
    world.history.quarantine(
        Quarantine(
            host=attempt.host,
            toplevel=attempt.target,
            reason=attempt.message,
            since=world.now(),
            attempt=attempt.id,
        )
    )


def _is_guilty(world: Common, attempt: Attempt) -> bool:
    if attempt.verdict is Verdict.HEAL or attempt.source == attempt.target:
        return False
    if attempt.reason is None or _is_ordered(world, attempt):
        return False
    if attempt.reason in _PROVED:
        return True
    if attempt.reason not in _SUSPECT:
        return False
    # One that wants a reboot says so each time, before it is booted into.
    made = world.history.attempts(host=attempt.host, limit=2 * SUSPECT_LIMIT)
    asked = [one for one in made if one.reason is not Reason.REBOOT_FIRST]
    last = asked[:SUSPECT_LIMIT]
    return len(last) == SUSPECT_LIMIT and all(
        one.target == attempt.target
        and one.outcome is Outcome.ROLLED_BACK
        and one.reason in _SUSPECT
        for one in last
    )


def _is_ordered(world: Common, attempt: Attempt) -> bool:
    guard = world.history.guard(attempt.id)
    return guard is not None and WayBack.kept_in(guard) is not None


def left_half_way(world: Common, host: HostName) -> StorePath | None:
    """Return the system that *host* could not be taken back to, until it can be."""
    for one in world.history.attempts(host=host, limit=HALF_WAY_LIMIT):
        if one.reason is Reason.STUCK:
            return one.source
        if one.outcome in (Outcome.SUCCEEDED, Outcome.ROLLED_BACK):
            return None
    return None
