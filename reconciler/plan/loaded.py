"""
What a unit is: by the configuration, and by what systemd has loaded, which wins.

The configuration does not say what a package brings: to a unit of its own it may add no
more than a line, and then `Type=`, `RemainAfterExit=` and what starts it are known to
systemd alone.
"""

from dataclasses import replace

from reconciler.model import (
    Desired,
    DesiredUnit,
    ObservedUnit,
    StorePath,
    UnitName,
    UnitRule,
)
from reconciler.plan import places

_JOBS = ("timer", "path", "automount")
_LOADED = "loaded"
_NO_RULE = UnitRule()


def unit_of(
    name: UnitName, desired: Desired, have: ObservedUnit, *, current: bool
) -> DesiredUnit:
    """
    Return what a unit should be, declared or not.

    Of one that no commit declares, and no package brings, only that it must not fail.
    *current* says that the host runs the desired system: else what systemd has loaded
    does not tell what the boot target will pull in.
    """
    want = desired.units.get(name) or packaged(have, desired)
    return as_loaded(want, have, current=current)


def packaged(have: ObservedUnit, desired: Desired) -> DesiredUnit:
    """Return a unit that no commit declares: with a path if a package brings it."""
    rule = desired.rules.get(have.name, _NO_RULE)
    path = have.beneath or have.fragment
    return DesiredUnit(
        name=have.name,
        path=StorePath(path) if places.from_package(have) else None,
        wanted=False,
        heal=rule.heal,
        may_fail=rule.may_fail,
    )


def as_loaded(
    want: DesiredUnit, have: ObservedUnit, *, current: bool = True
) -> DesiredUnit:
    """Return *want*, completed by what systemd says of it; see `unit_of`."""
    wanted = want.wanted or (current and have.wanted)
    if have.load_state != _LOADED:
        return replace(want, wanted=wanted)
    return replace(
        want,
        wanted=wanted,
        type=have.type or want.type,
        remain_after_exit=(
            have.remain_after_exit if have.type else want.remain_after_exit
        ),
        only_manual=want.only_manual or have.only_manual,
        triggered=_triggered(want, have, wanted=wanted),
    )


def _triggered(want: DesiredUnit, have: ObservedUnit, *, wanted: bool) -> bool:
    """
    Return whether something else calls for it: see `reconciler.desired.units`.

    What a socket or the bus may start is expected to run all the same if it is wanted.
    """
    kinds = {places.kind_of(UnitName(name)) for name in have.triggered_by}
    declared = want.triggered and want.wanted == wanted
    on_demand = have.on_bus or "socket" in kinds
    return declared or not kinds.isdisjoint(_JOBS) or (on_demand and not wanted)
