"""What differs between desired and observed: the host first, then unit by unit."""

from collections.abc import Sequence

from reconciler.model import (
    Desired,
    Digests,
    Drift,
    DriftKind,
    Known,
    Observed,
    Step,
    StepKind,
    SystemKind,
    SystemParts,
)
from reconciler.plan.keys import judge_keys
from reconciler.plan.secrets import judge_secrets
from reconciler.plan.specialisation import (
    is_specialised,
    runs,
    told_variant,
    variant,
)
from reconciler.plan.steps import DEPLOY_STEPS, Finding, in_order
from reconciler.plan.units import Scene, judge_declared, judge_other

_PARTS = ("kernel", "initrd", "modules", "systemd")


NO_DIGESTS = Digests()


def drifts(
    desired: Desired,
    observed: Observed,
    *,
    known: Known | None = None,
    digests: Digests = NO_DIGESTS,
) -> tuple[Drift, ...]:
    """Return every difference, sorted by kind and subject; one per unit and key."""
    found = findings(desired, observed, known or Known(), digests)
    return tuple(finding.drift for finding in found)


def findings(
    desired: Desired,
    observed: Observed,
    known: Known,
    digests: Digests,
    *,
    wanted: str = "",
) -> tuple[Finding, ...]:
    """
    Return every difference with the steps that close it, sorted.

    *wanted* is the specialisation that the host should run.

    Another machine's units say nothing of this host, one without a NixOS has no units
    of ours, and neither gets our keys: there only that is told.
    """
    stranger = (
        _wrong_machine(observed, known)
        or _no_system(desired, observed)
        or _shared_machine(known)
    )
    if stranger is not None:
        return (stranger,)
    system = _system(desired, observed, wanted)
    host = (system, _boot(desired, observed), _reboot(observed))
    found = [finding for finding in host if finding is not None]
    keys = judge_keys(desired, observed, known, digests)
    secrets = judge_secrets(desired, observed)
    return in_order([*found, *_units(desired, observed), *keys, *secrets])


def _units(desired: Desired, observed: Observed) -> list[Finding]:
    if is_specialised(desired, observed):
        return []
    scene = Scene.of(desired, observed)
    declared = [
        judge_declared(want, observed.units.get(name), scene)
        for name, want in desired.units.items()
    ]
    others = [
        judge_other(have, scene)
        for name, have in observed.units.items()
        if name not in desired.units
    ]
    return [finding for finding in (*declared, *others) if finding is not None]


def _wrong_machine(observed: Observed, known: Known) -> Finding | None:
    if known.machine_id in (None, observed.machine_id):
        return None
    drift = Drift(
        kind=DriftKind.WRONG_MACHINE,
        desired=known.machine_id or "",
        observed=observed.machine_id or "no machine id",
    )
    return Finding(drift=drift)


def _shared_machine(known: Known) -> Finding | None:
    names = known.shared or known.alike
    if not names:
        return None
    drift = Drift(
        kind=DriftKind.WRONG_MACHINE,
        desired="a machine of its own",
        observed=f"{'that of' if known.shared else 'perhaps that of'} "
        + ", ".join(sorted(names)),
    )
    return Finding(drift=drift)


def _no_system(desired: Desired, observed: Observed) -> Finding | None:
    if not observed.is_strange:
        return None
    told = "not a NixOS system" if desired.kind is SystemKind.NIXOS else "a NixOS"
    drift = Drift(kind=DriftKind.SYSTEM, desired=desired.toplevel, observed=told)
    return Finding(drift=drift)


def _system(desired: Desired, observed: Observed, wanted: str) -> Finding | None:
    """
    Compare what runs.

    A specialisation that should run, since a person chose it or the commit wants it, is
    shown.
    """
    kept = variant(desired, observed) == wanted
    if kept and not wanted:
        return None
    told = wanted and (not kept or wanted == desired.specialisation)
    chosen = f" (specialisation {wanted})" if told else ""
    drift = Drift(
        kind=DriftKind.SYSTEM,
        desired=f"{desired.toplevel}{chosen}",
        observed=f"{observed.running or 'none of it'}{told_variant(desired, observed)}",
        lasting=kept,
    )
    return Finding(drift=drift, steps=() if kept else DEPLOY_STEPS)


def _boot(desired: Desired, observed: Observed) -> Finding | None:
    """
    Compare what the host boots by default, once it runs what it should.

    A wrapper that deploy-rs made around the same system counts as different: its name
    does not say which system it holds, and setting the profile makes it certain.
    """
    if not runs(desired, observed) or observed.profile == desired.toplevel:
        return None
    drift = Drift(
        kind=DriftKind.BOOT,
        desired=desired.toplevel,
        observed=observed.profile or "no system profile",
    )
    return Finding(drift=drift, steps=(Step(kind=StepKind.SET_BOOT),))


def _reboot(observed: Observed) -> Finding | None:
    """Compare what only a reboot changes; a part that a host lacks is equal."""
    differing = needs_reboot(observed.booted_parts, observed.running_parts)
    if not differing:
        return None
    drift = Drift(
        kind=DriftKind.REBOOT_NEEDED,
        desired=_told(observed.running_parts, differing),
        observed=_told(observed.booted_parts, differing),
    )
    return Finding(drift=drift)


def needs_reboot(booted: SystemParts, system: SystemParts) -> tuple[str, ...]:
    """Return which parts of a *system* do not run until a host is booted anew."""
    return tuple(
        part
        for part in _PARTS
        if _differs(getattr(booted, part), getattr(system, part))
    )


def _differs(booted: str, running: str) -> bool:
    return bool(booted and running) and booted != running


def _told(parts: SystemParts, names: Sequence[str]) -> str:
    return ", ".join(f"{name} {getattr(parts, name)}" for name in names)
