"""
By which way a host is reached while an attempt changes that way.

What a commit says of address, port and user holds once its system runs. Before, a host
is reached as it was reached last; and it is confirmed by the new way only.
"""

from dataclasses import replace
from pathlib import Path

import structlog

from reconciler.attempt.look import Look, look
from reconciler.errors import (
    ConnectError,
    HostKeyError,
    ReconcilerError,
    StateError,
    StoppingError,
)
from reconciler.model import Desired, Policy, StorePath, Target
from reconciler.plan import runs, stranger
from reconciler.world import HostWorld, last_way, note_way

log = structlog.get_logger(__name__)


def former_way(world: HostWorld, desired: Desired) -> Target | None:
    """
    Return how the host was reached before, if that is not what *desired* says.

    It may have been switched already, by a process that is gone.
    """
    way = world.connections.way_to(desired.host, desired.target)
    before = last_way(world, desired.host) if way == desired.target else way
    return None if before == desired.target else before


def where_it_is(world: HostWorld, desired: Desired) -> Desired:
    """Return *desired*, to be brought to where the host is now."""
    way = world.connections.way_to(desired.host, desired.target)
    return replace(desired, target=way)


def note_confirmed(world: HostWorld, desired: Desired, system: StorePath) -> None:
    """Note how the host is reached now that *system* is confirmed there."""
    way = world.connections.way_to(desired.host, desired.target)
    try:
        note_way(world, desired.host, system, way)
    except StateError as error:
        # The host is as it should be; the next look finds and notes it.
        log.warning("cannot note the way", host=desired.host, error=str(error))


def meet(world: HostWorld, desired: Desired, checkout: Path, *, policy: Policy) -> Look:
    """
    Look at a host that may not be where *desired* says until it runs that system.

    It is looked for where it was reached last, and else where it should be. By the way
    that led there it is reached until `meet` is called again, or an attempt changes its
    system. Raises what `look` raises.
    """
    host, connections = desired.host, world.connections
    connections.go_by(host, None)
    former = last_way(world, host) if desired.target.address else None
    if former is None or former == desired.target:
        seen = look(world, desired, checkout, policy=policy)
    else:
        seen = _meet_by(former, world, desired, checkout, policy)
    way, running = connections.way_to(host, desired.target), seen.observed.running
    if former not in (None, way):
        connections.leave(host, former)
    # What has yet to be confirmed there may go back, and the host to where it was.
    settled = not world.history.unfinished(host)
    if running and settled and not stranger(seen.observed, seen.known):
        note_way(world, host, running, way)
    return seen


def _meet_by(
    former: Target, world: HostWorld, desired: Desired, checkout: Path, policy: Policy
) -> Look:
    host, connections = desired.host, world.connections
    connections.go_by(host, former)
    gone: ReconcilerError | None = None
    try:
        seen = look(world, desired, checkout, policy=policy)
    except StoppingError:
        raise
    except ReconcilerError as error:
        gone = error
    else:
        if not stranger(seen.observed, seen.known):
            connections.introduce(former, desired.target)
            if not runs(desired, seen.observed):
                return seen
    connections.go_by(host, None)
    try:
        return look(world, desired, checkout, policy=policy)
    except (ConnectError, HostKeyError) as error:
        # Both kinds are made of a message and a host.
        also = f"nor where it was last: {gone}" if gone else f"it is at {former.login}"
        message = f"{error}; {also}"
        raise type(error)(message, host=host) from error
