"""What the first deployment of a host changes, told before anybody consents to it."""

from reconciler.attempt.look import Look
from reconciler.model import Desired, Takeover, UnitName
from reconciler.observed import ground, system
from reconciler.plan import stranger, takeover
from reconciler.remote import HostReader


def first_deployment(
    desired: Desired, seen: Look, reader: HostReader
) -> tuple[Takeover, ...] | None:
    """
    Return what *desired* changes of what somebody else put on a host.

    None where the host is ours, is not the one that it should be, or has the system
    already. Raises FactError, CommandError and what reading raises.
    """
    running = seen.observed.running
    if seen.known.adopted or stranger(seen.observed, seen.known):
        return None
    if running == desired.toplevel:
        return None
    built = system(desired.toplevel, reader)
    units = None if built is None else {UnitName(name) for name in built.units}
    return takeover(
        desired,
        seen.observed,
        ground(reader),
        drifts=seen.plan.drifts,
        units=units,
    )
