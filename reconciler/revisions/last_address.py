"""Where a host is, whether or not the newest commit evaluates or can be read."""

from collections.abc import Callable
from dataclasses import replace

from reconciler.errors import UnknownHostError
from reconciler.model import Desired, HostName, Target
from reconciler.remote import DeploysItselfError
from reconciler.revisions.evaluations import Evaluations
from reconciler.revisions.repository import Revision
from reconciler.settings import HostSettings
from reconciler.world import Common, last_way


def last_known(
    world: Common,
    evaluations: Evaluations,
    host: HostName,
    newest: Callable[[], Revision | None],
) -> Desired:
    """
    Return what was last known of a host, at the address where it was reached last.

    What the settings say of the address now comes first.

    *newest* is called only for a host that was never evaluated. Raises
    UnknownHostError, DeploysItselfError, and what *newest* and the evaluation raise.
    """
    if world.live.pulls(host):
        raise DeploysItselfError(host)
    good = evaluations.last_good(host)
    if good is not None:
        settings = world.settings.hosts.get(host, HostSettings())
        desired = good.desired
        # What the commit says holds once its system runs there.
        way = last_way(world, host) or desired.target
        return _as_set(replace(desired, target=way), settings)
    revision = newest()
    known = revision.hosts if revision else ()
    if revision is None or host not in known:
        raise UnknownHostError(host, known=known)
    return evaluations.desired(revision, host)


def _as_set(desired: Desired, settings: HostSettings) -> Desired:
    """Follow settings that are newer than the evaluation."""
    target = desired.target
    if settings.is_local:
        return replace(desired, target=Target.here(target.escalation))
    address = "" if target.local else target.address
    return replace(
        desired,
        target=replace(
            target,
            local=False,
            address=settings.address or address,
            port=settings.port or target.port,
            user=settings.user or target.user,
            identity=str(settings.identity or ""),
        ),
    )
