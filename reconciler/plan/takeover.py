"""
What the first deployment of a host changes of what somebody else put there (pure).

Told, and no more: whether it is right, a person says.
"""

from collections.abc import Collection, Iterator

from reconciler.model import (
    Account,
    Base,
    Desired,
    Drift,
    DriftKind,
    Effect,
    Ground,
    Mount,
    Observed,
    ObservedUnit,
    SystemKind,
    Takeover,
    UnitName,
)
from reconciler.plan.effects import is_up
from reconciler.plan.places import from_package

SERVICE, SSH, USER = "service", "ssh", "user"
FILE_SYSTEM, LOADER, STATE = "file system", "boot loader", "state version"


def takeover(
    desired: Desired,
    observed: Observed,
    ground: Ground,
    *,
    drifts: Collection[Drift],
    units: Collection[UnitName] | None,
) -> tuple[Takeover, ...]:
    """
    Return what *desired* takes away from a host, or changes under it.

    *units* are all that the new system has, those of packages included; None where it
    is not built yet. What keeps us out is a warning of the plan, and not repeated.
    """
    found = [*_services(desired, observed, drifts, units)]
    base = desired.base
    # The rest of another distribution is left as it is.
    if base is None or desired.kind is not SystemKind.NIXOS:
        return tuple(found)
    found += _host_keys(desired, ground)
    for account in ground.accounts:
        found += _account(desired, base, account)
    found += _file_systems(base, ground)
    found += _loader(base, ground)
    return (*found, *_state(base, ground))


def _services(
    desired: Desired,
    observed: Observed,
    drifts: Collection[Drift],
    units: Collection[UnitName] | None,
) -> Iterator[Takeover]:
    gone = {
        drift.subject
        for drift in drifts
        if drift.kind is DriftKind.UNIT_EXTRA and drift.effect is Effect.STOP
    }
    brought = {
        unit.name
        for unit in observed.units.values()
        if is_up(unit) and from_package(unit) and not _is_declared(unit, desired)
    }
    if units is not None:
        gone |= {name for name in brought if not _is_in(name, units)}
    for name in sorted(gone):
        yield Takeover(kind=SERVICE, text=f"{name} runs, and goes")
    if units is None and brought:
        text = (
            f"{len(brought)} units of packages run; whether the new system has them is"
            f" known once it is built: reconciler diff {desired.host} --build"
        )
        yield Takeover(kind=SERVICE, text=text)


def _is_declared(unit: ObservedUnit, desired: Desired) -> bool:
    return _is_in(unit.name, desired.units)


def _is_in(name: UnitName, units: Collection[UnitName]) -> bool:
    """Return whether *units* have this one, or the template that it is made of."""
    stem, at, rest = name.partition("@")
    template = UnitName(f"{stem}@.{rest.rpartition('.')[2]}") if at else name
    return name in units or template in units


def _host_keys(desired: Desired, ground: Ground) -> Iterator[Takeover]:
    if desired.ssh is None or not desired.ssh.enabled:
        return
    new = {key.rpartition(" ")[2] for key in desired.ssh.host_keys}
    gone = [path for path in ground.host_keys if path not in new]
    if gone and new:
        text = (
            f"its server has other host keys ({', '.join(sorted(new))}), no more"
            f" {', '.join(sorted(gone))}; record a new one beforehand: reconciler trust"
            f" {desired.host} --next KEY"
        )
        yield Takeover(kind=SSH, text=text)


def _account(desired: Desired, base: Base, account: Account) -> Iterator[Takeover]:
    """Yield what becomes of one who gets in somehow."""
    name = account.name
    if name not in base.users:
        if not base.mutable_users or account.declared:
            yield Takeover(kind=USER, text=f"{name} goes, who has {_has(account)}")
        return
    if account.password and not base.mutable_users and not base.users[name]:
        yield Takeover(kind=USER, text=f"{name} has no password any more")
    logins = desired.ssh.logins.get(name, ()) if desired.ssh else ()
    gone = sorted(set(account.keys) - set(logins))
    if gone:
        ours = name == desired.target.user and not desired.target.local
        came = ", as whom we come" if ours else ""
        text = f"keys that let {name} in go{came}: {', '.join(gone)}"
        yield Takeover(kind=SSH if ours else USER, text=text)


def _has(account: Account) -> str:
    keys = len(set(account.keys) | set(account.own_keys))
    told = ["a password"] if account.password else []
    told += [f"{keys} SSH key{'' if keys == 1 else 's'}"] if keys else []
    return " and ".join(told)


def _file_systems(base: Base, ground: Ground) -> Iterator[Takeover]:
    if base.mounts is None or ground.mounts is None:
        who = (
            "the host has none" if ground.mounts is None else "the commit declares none"
        )
        if base.mounts or ground.mounts:
            text = f"/etc/fstab is not compared: {who}"
            yield Takeover(kind=FILE_SYSTEM, text=text)
        return
    old, new = _by_place(ground.mounts), _by_place(base.mounts)
    for place in sorted(old.keys() | new.keys()):
        if told := _mount(old.get(place), new.get(place)):
            yield Takeover(kind=FILE_SYSTEM, text=f"{_shown(place)}: {told}")


def _by_place(mounts: Collection[Mount]) -> dict[str, Mount]:
    """Swap has no place, and is told by its device."""
    return {
        one.device if one.type == "swap" else one.place: one
        for one in sorted(mounts, key=lambda one: (one.place, one.device))
    }


def _mount(old: Mount | None, new: Mount | None) -> str:
    if old is None and new is not None:
        return f"new, {_shown(new.device)} ({new.type})"
    if new is None and old is not None:
        return f"goes, {_shown(old.device)} ({old.type})"
    if old is None or new is None or old == new:
        return ""
    if (old.device, old.type) == (new.device, new.type):
        return "other options"
    before = f"{_shown(old.device)} ({old.type})"
    return f"{before} -> {_shown(new.device)} ({new.type})"


def _shown(path: str) -> str:
    return path.replace("\\040", " ")


def _loader(base: Base, ground: Ground) -> Iterator[Takeover]:
    if ground.loader == base.loader:
        return
    old = ground.loader or "one that its system does not tell"
    yield Takeover(kind=LOADER, text=f"{old} -> {base.loader or 'none'}")


def _state(base: Base, ground: Ground) -> Iterator[Takeover]:
    declared = base.state_version or "none"
    if not ground.state_version:
        text = (
            f"the commit declares {declared}; which one the host was installed with its"
            " running system does not tell: compare it with the configuration that"
            " made it"
        )
        yield Takeover(kind=STATE, text=text)
    elif ground.state_version != base.state_version:
        text = f"{ground.state_version} -> {declared}, which services take for granted"
        yield Takeover(kind=STATE, text=text)
