"""
Whether a commit changes the path of a system, and nothing that runs (pure).

So it is with `system.configurationRevision`. NixOS puts the path of all packages, among
them `nixos-version`, which tells the revision, into the unit of the bus, and has that
reloaded: that is left out of account, since nobody notices.
"""

from collections.abc import Collection, Mapping

from reconciler.model import (
    Desired,
    Drift,
    DriftKind,
    Effect,
    Known,
    UnitName,
)

_BUSES = frozenset({"dbus.service", "dbus-broker.service"})
_OTHERS = frozenset(
    {
        DriftKind.UNIT_CHANGED,
        DriftKind.UNIT_MISSING,
        DriftKind.UNIT_EXTRA,
        DriftKind.KEY_MISSING,
        DriftKind.KEY_CHANGED,
        DriftKind.KEY_PERMISSIONS,
        DriftKind.KEY_EXTRA,
    }
)


def only_path(desired: Desired, drifts: Collection[Drift], known: Known) -> bool:
    """
    Return whether *desired* differs from what the host has in no unit and no key.

    Neither by what is seen there, nor by what it was last in sync with: a unit that is
    not loaded is not seen to go. Where it never was that is not known, and not said.
    """
    former, found = known.former, [drift for drift in drifts if drift.is_open]
    switches = any(drift.kind is DriftKind.SYSTEM for drift in found)
    if former is None or not switches or any(map(_is_more, found)):
        return False
    return (_units(former), former.keys) == (_units(desired), desired.keys)


def _is_more(drift: Drift) -> bool:
    of_bus = drift.subject in _BUSES and drift.effect is Effect.RELOAD
    return drift.kind in _OTHERS and not of_bus


def _units(desired: Desired) -> Mapping[UnitName, str | None]:
    return {
        name: unit.path for name, unit in desired.units.items() if name not in _BUSES
    }
