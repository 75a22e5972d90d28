"""What is not done to a host without asking a person, or not just now."""

from collections.abc import Iterable

from reconciler.model import (
    Adopt,
    Desired,
    Drift,
    DriftKind,
    HostName,
    Known,
    Observed,
    Policy,
    UnitName,
)
from reconciler.plan.effects import is_up

FEW = 3
"""Of so few services, or hosts, any number may go: it is a change like any other."""

NAMED = 5  # how many of those that would go are named
_REBUILD = UnitName("nixos-rebuild-switch-to-configuration.service")
_SHUTDOWN = UnitName("shutdown.target")
_OURS = UnitName("reconciler-activation.service")


def services_of(desired: Desired) -> frozenset[UnitName]:
    """Return the services that a host should run."""
    return frozenset(
        unit.name
        for unit in desired.units.values()
        if unit.wanted and unit.path and unit.name.endswith(".service")
    )


def removes_too_much(
    desired: Desired, drifts: Iterable[Drift], known: Known, policy: Policy
) -> str:
    """
    Return why a person is to be asked before a system is brought to its host.

    Empty if nobody need be: it takes away no more than the allowed part of what the
    host had when it was last in sync, or a person has let it pass.
    """
    switches = any(drift.kind is DriftKind.SYSTEM and drift.is_open for drift in drifts)
    gone = sorted(known.services - services_of(desired))
    if not switches or known.approved:
        return ""
    if not is_too_much(len(gone), len(known.services), policy.removal_limit):
        return ""
    return (
        f"this system has {len(gone)} of the {len(known.services)} services no more"
        f" that {desired.host} had when it was last in sync ({_named(gone)}); if that"
        f" is right, run: reconciler approve {desired.host}"
    )


def hosts_gone(
    before: Iterable[HostName], after: Iterable[HostName], limit: float
) -> tuple[HostName, ...]:
    """
    Return the hosts that a commit no longer has, if they are too many to go unasked.

    *limit* is the part of the fleet that may go; that all go is too many in any case.
    """
    were, are = frozenset(before), frozenset(after)
    gone = tuple(sorted(were - are))
    emptied = bool(were) and not are
    return gone if emptied or is_too_much(len(gone), len(were), limit) else ()


def told_gone(gone: tuple[HostName, ...], before: int) -> str:
    """Say which hosts a commit no longer has, of so many."""
    return f"it has {len(gone)} of the {before} hosts no more ({_named(gone)})"


def is_too_much(gone: int, of: int, limit: float) -> bool:
    """Return whether *gone* of *of* is more than the part *limit*; never of a few."""
    return of > FEW and gone > limit * of


def told_shared(host: HostName, names: Iterable[HostName]) -> str:
    """Say that a host is one machine with others that the commit declares."""
    all_names = ", ".join(sorted({host, *names}))
    return (
        f"these names lead to one machine, with one boot: {all_names}; nothing is"
        " changed on it until the repository or the settings have one name for it"
    )


def told_alike(host: HostName, names: Iterable[HostName]) -> str:
    """Say that a host may be one machine with others."""
    return (
        f"{host} has the machine id of {', '.join(sorted(names))}, and may be that very"
        " machine: waiting until both were seen since it was booted. Take a name that"
        " is gone out of the repository; and give clones machine ids of their own"
        " (systemd-machine-id-setup)"
    )


def driven_by_another(observed: Observed, known: Known) -> str:
    """
    Return that another reconciler changes the host, or an empty text.

    A person may let this one take over, by an approval.
    """
    theirs, ours = observed.driver.partition(" "), known.driver.partition(" ")
    if not theirs[0] or not ours[0] or theirs[0] == ours[0] or known.approved:
        return ""
    return (
        f"another reconciler drives this host: {theirs[2] or theirs[0]}; end that one,"
        f" or take the host from it: reconciler approve {observed.host}"
    )


def waits_for_adoption(host: HostName, known: Known, policy: Policy) -> str:
    """
    Return that nobody has given the host to us, or an empty text.

    It runs what somebody else put there, who has not seen what we would make of it.
    """
    if known.adopted or policy.adopt is Adopt.ALWAYS:
        return ""
    return (
        "waits for adoption: it was never as its commit says, so nothing is done before"
        f" somebody has seen what that changes: reconciler adopt {host}"
    )


def goes_down(observed: Observed) -> str:
    """Return that the host is being shut down, or an empty text."""
    shutdown = observed.units.get(_SHUTDOWN)
    if shutdown is not None and shutdown.queued:
        return "this host is being shut down; waiting"
    return ""


def switched_by_somebody(observed: Observed) -> str:
    """
    Return who else is changing the host just now, or an empty text.

    An attempt of ours, which another process may be making, is not somebody else: who
    finds it follows it.
    """
    units = observed.units
    if _REBUILD in units and is_up(units[_REBUILD]):
        return "somebody is switching this host with nixos-rebuild; waiting"
    ours = _OURS in units and is_up(units[_OURS])
    if observed.switching and not ours:
        return "somebody is switching this host; waiting"
    return ""


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - NAMED
    told = ", ".join(listed[:NAMED])
    return f"{told} and {more} more" if more > 0 else told
