"""Which units a deployment restarted, and how long each was down (pure)."""

from collections.abc import Container

from reconciler.model import Observed, ObservedUnit, Restart, UnitName

SLACK = 1.0
"""Seconds by which our clock and what we make of the host's may differ."""

_UP = ("active", "reloading", "refreshing")


def restarts(
    after: Observed,
    units: Container[UnitName],
    *,
    before: Observed | None,
    since: float,
) -> tuple[Restart, ...]:
    """
    Return the units that are up again, of *units* and of those that boot pulls in.

    Up *before* and another invocation now; without a look from before, as where we were
    started anew meanwhile, those that were down *since* the attempt began. Of a unit
    that was restarted several times, systemd knows the last one.
    """
    if before is not None and before.boot_id != after.boot_id:
        return ()  # a reboot restarted everything
    return tuple(
        Restart(unit=unit.name, seconds=_down(unit))
        for unit in sorted(after.units.values(), key=lambda unit: unit.name)
        if (unit.name in units or unit.wanted)
        and not unit.name.endswith(".target")  # which only group others
        and unit.active_state in _UP
        and _restarted(unit, before, since + after.clock - after.began_at - SLACK)
    )


def _restarted(unit: ObservedUnit, before: Observed | None, since: float) -> bool:
    """Return whether it was; *since* is by the host's clock."""
    if before is None:
        return unit.left_at >= since
    old = before.units.get(unit.name)
    was_up = old is not None and old.active_state in _UP
    return was_up and old is not None and old.invocation != unit.invocation


def _down(unit: ObservedUnit) -> float | None:
    """Return the seconds from leaving the active state to coming back to it."""
    if not 0 < unit.left_at <= unit.active_at:
        return None
    return unit.active_at - unit.left_at
