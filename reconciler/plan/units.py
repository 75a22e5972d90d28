"""
What differs in one unit: a ladder of early returns, from its file to its state.

A unit's store path is its identity, so its file is compared by path. The path may be
the file that systemd loaded, or one of its drop-ins (``overrideStrategy = asDropin``).
The resolved path tells what stands on the disk now; whether the running process began
under it is not visible. Hence ``restartIfChanged = false`` shows while a switch is
planned, and never after it: then the file is the desired one, and systemd has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model import (
    Desired,
    DesiredUnit,
    Drift,
    DriftKind,
    Effect,
    Observed,
    ObservedUnit,
    Step,
    StepKind,
    StorePath,
    UnitName,
)
from reconciler.plan import places
from reconciler.plan.effects import effect_of_change, effect_of_switch, is_up
from reconciler.plan.jobs import running_jobs
from reconciler.plan.loaded import as_loaded, packaged
from reconciler.plan.rules import left_alone
from reconciler.plan.states import judge_state, not_loaded, wake
from reconciler.plan.steps import REACTIVATE, Finding, steps_of_effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What all units of a host are judged against."""

    desired: Desired
    switching: bool  # the running system is not the desired one
    jobs: tuple[ObservedUnit, ...] = ()  # that have not ended
    paths: frozenset[StorePath] = field(default=frozenset())  # of all declared units

    @classmethod
    def of(cls, desired: Desired, observed: Observed) -> "Scene":
        """Set the scene for one host."""
        paths = (unit.path for unit in desired.units.values())
        return cls(
            desired=desired,
            switching=observed.running != desired.toplevel,
            jobs=running_jobs(desired, observed),
            paths=frozenset(path for path in paths if path is not None),
        )

    @property
    def declared(self) -> Mapping[UnitName, DesiredUnit]:
        """The units that the commit declares."""
        return self.desired.units


# --- a unit that the commit declares ---------------------------------------------


def judge_declared(
    want: DesiredUnit, have: ObservedUnit | None, scene: Scene
) -> Finding | None:
    """
    Return what differs in a declared unit, or None.

    The first that applies: a template, which has no state; masked by the commit;
    not loaded; overridden by hand; loaded from another file; changed on disk and not
    read by systemd; not in the state that it should be in.
    """
    have = have or not_loaded(want.name)
    want = as_loaded(want, have, current=not scene.switching)
    if places.is_template(want.name):
        return _judge_template(want, have, scene)
    if want.path is None:
        return _judge_masked(want, have, scene)
    if have.load_state == "not-found":
        return _missing(want, have, scene)
    if places.overrides(have) or places.masks(have):
        return _overridden(want, have)
    if want.path not in (have.fragment, *have.drop_in_files):
        return _judge_other_file(want, have, scene)
    unread = have.needs_reload and not scene.switching
    return _unread(want, have) if unread else _state(want, have, scene)


def _state(want: DesiredUnit, have: ObservedUnit, scene: Scene) -> Finding | None:
    """Judge what it does; what is to be left alone is only shown."""
    finding = judge_state(want, have)
    return None if finding is None else left_alone(finding, want, have, scene.jobs)


def _judge_template(
    want: DesiredUnit, have: ObservedUnit, scene: Scene
) -> Finding | None:
    """Tell which templates a switch brings or changes; else its instances count."""
    if not scene.switching or want.path in (None, have.fragment, *have.drop_in_files):
        return None
    missing = have.load_state == "not-found"
    return _missing(want, have, scene) if missing else _changed(want, have, scene)


def _judge_masked(
    want: DesiredUnit, have: ObservedUnit, scene: Scene
) -> Finding | None:
    """
    Judge a unit that the commit masks (``enable = false``).

    While a switch is due, what runs will be stopped by it. After it, one that runs
    though it is masked is stopped, and a file that undoes the mask is removed. A unit
    that systemd loads from a package all the same is left alone.
    """
    if have.load_state == "not-found":
        return None
    if scene.switching:
        changed = is_up(have) or have.load_state != "masked"
        return _changed(want, have, scene) if changed else None
    effect = Effect.STOP if is_up(have) else Effect.NONE
    files = places.overrides(have)
    if have.fragment_path in files and have.load_state != "masked":
        return _undo(want, files, StepKind.REVERT, effect)
    if have.load_state == "masked" and effect is Effect.STOP:
        return _extra(have, "masked, and still active", effect, scene)
    return None


def _missing(want: DesiredUnit, have: ObservedUnit, scene: Scene) -> Finding:
    """
    Tell of a unit that systemd finds no file of.

    New, if a switch is due. If not, /etc is not as the running system made it:
    activating that system again puts it back.
    """
    effect = wake(want, have)
    if scene.switching:
        effect = Effect.START if want.wanted else Effect.NONE
    drift = Drift(
        kind=DriftKind.UNIT_MISSING,
        subject=want.name,
        desired=want.path or "",
        observed="not loaded",
        effect=effect,
    )
    own = () if scene.switching else (REACTIVATE, *steps_of_effect(want.name, effect))
    return Finding(drift=drift, steps=own)


def _overridden(want: DesiredUnit, have: ObservedUnit) -> Finding:
    """
    Tell of files by hand, to be removed; then bring the unit to what it should be.

    A process that began under an override must begin anew; a mask alone changes
    nothing in a process that runs.
    """
    masked = have.load_state == "masked"
    kind = StepKind.UNMASK if masked else StepKind.REVERT
    effect = wake(want, have)
    if is_up(have):
        effect = Effect.NONE if masked else _effect_of_undoing(want)
    files = places.overrides(have) or places.masks(have)
    return _undo(want, files, kind, effect)


def _judge_other_file(
    want: DesiredUnit, have: ObservedUnit, scene: Scene
) -> Finding | None:
    """
    Judge a unit loaded from a file that is neither the desired one nor made by hand.

    A switch that is due changes it. If none is due: the kernel command line forces
    another (only a boot without it helps), or another declared unit has this name as
    an alias, or /etc is not as the running system made it.
    """
    if have.fragment_path.startswith(places.FORCED):
        return Finding(drift=_override(want, have.fragment_path, Effect.NONE))
    if scene.switching:
        return _changed(want, have, scene)
    if have.fragment in scene.paths:
        return None
    effect = effect_of_change(want) if is_up(have) else wake(want, have)
    drift = _override(want, have.fragment or have.load_state, effect)
    start = () if is_up(have) else steps_of_effect(want.name, effect)
    return Finding(drift=drift, steps=(REACTIVATE, *start))


def _changed(want: DesiredUnit, have: ObservedUnit, scene: Scene) -> Finding:
    """Tell of a unit that the switch changes; a skipped restart is legitimate."""
    effect = effect_of_switch(want, have, scene.declared)
    drift = Drift(
        kind=DriftKind.UNIT_CHANGED,
        subject=have.name,
        desired=want.path or "masked",
        observed=have.fragment or have.load_state,
        effect=effect,
        lasting=effect is Effect.SKIP,
    )
    return Finding(drift=drift)


def _unread(want: DesiredUnit, have: ObservedUnit) -> Finding:
    """Tell of a file that changed since systemd read it: it must read it again."""
    effect = wake(want, have) if have.load_state == "loaded" else Effect.NONE
    drift = _override(want, "files changed since systemd read them", effect)
    read = Step(kind=StepKind.REVERT, unit=want.name)
    return Finding(drift=drift, steps=(read, *steps_of_effect(want.name, effect)))


def _undo(
    want: DesiredUnit, files: tuple[str, ...], kind: StepKind, effect: Effect
) -> Finding:
    removable = tuple(file for file in files if file.startswith(places.REMOVABLE))
    steps = (
        Step(kind=kind, unit=want.name, files=removable),
        *steps_of_effect(want.name, effect),
    )
    told = ("masked: " if kind is StepKind.UNMASK else "") + ", ".join(files)
    if not removable:
        return Finding(drift=_override(want, told, Effect.NONE))
    return Finding(drift=_override(want, told, effect), steps=steps)


def _effect_of_undoing(want: DesiredUnit) -> Effect:
    """Return how an active unit takes up its own file, if it may be stopped."""
    return Effect.SKIP if want.only_manual else effect_of_change(want)


def _override(want: DesiredUnit, observed: str, effect: Effect) -> Drift:
    return Drift(
        kind=DriftKind.UNIT_OVERRIDDEN,
        subject=want.name,
        desired=want.path or "masked",
        observed=observed,
        effect=effect,
    )


# --- a unit that the commit does not declare -------------------------------------


def judge_other(have: ObservedUnit, scene: Scene) -> Finding | None:
    """
    Return what differs in a unit that is not declared by its own name, or None.

    Only what a NixOS system put there is looked at. An instance belongs to its
    template, an alias to the unit that it stands for; anything else is left over from
    another system. A switch stops it, unless its X-StopOnRemoval= forbids. Without
    one, what still runs is stopped; what does not run is nobody's concern.

    What a package brings is no unit of the commit; but if the boot target pulls it in,
    it must be up like one.
    """
    if places.from_package(have):
        return _judge_packaged(have, scene)
    if not places.from_system(have):
        return None
    if have.fragment in scene.paths:
        return None
    owner = scene.declared.get(UnitName(have.fragment.rpartition("/")[2]))
    if owner is not None:
        instance = scene.switching and places.is_template(owner.name)
        return _changed(owner, have, scene) if instance else None
    effect = Effect.STOP if is_up(have) else Effect.NONE
    if not scene.switching and effect is Effect.NONE:
        return None
    return _extra(have, have.fragment, effect, scene)


def _judge_packaged(have: ObservedUnit, scene: Scene) -> Finding | None:
    """
    Judge a unit that only a package brings: masked by hand, failed, stopped.

    Drop-ins beside it are left: machines write some for themselves. Which of these
    units another system has, only a host that runs it can tell.
    """
    want = as_loaded(packaged(have, scene.desired), have)
    if scene.switching or not want.wanted:
        return None
    if have.load_state == "masked":
        return _overridden(want, have)
    return _state(want, have, scene)


def _extra(have: ObservedUnit, told: str, effect: Effect, scene: Scene) -> Finding:
    drift = Drift(
        kind=DriftKind.UNIT_EXTRA, subject=have.name, observed=told, effect=effect
    )
    steps = () if scene.switching else steps_of_effect(have.name, effect)
    return Finding(drift=drift, steps=steps)
