"""
Carry out a plan on a value, as apply, NixOS and systemd would on a host.

Written from how those behave, not from the plan's rules. It is strict: what systemd or
apply would refuse raises AssertionError.
"""

import dataclasses

from reconciler.model import (
    Desired,
    DesiredKey,
    DesiredUnit,
    Digests,
    Observed,
    ObservedKey,
    ObservedUnit,
    Plan,
    Step,
    StepKind,
    UnitName,
)

SYSTEM = "/etc/systemd/system/"
BEFORE_SYSTEM = ("/etc/systemd/system.control/", "/run/systemd/system.control/")
TRANSIENT = "/run/systemd/transient/"
UP = ("active", "reloading", "activating")

Units = dict[UnitName, ObservedUnit]


def carry_out(
    plan: Plan, desired: Desired, observed: Observed, digests: Digests
) -> Observed:
    """Return what a probe finds after the steps of *plan*."""
    for step in plan.steps:
        if step.kind in (StepKind.DELIVER_KEYS, StepKind.DELIVER_LATE_KEYS):
            observed = _deliver(step, desired, observed, digests)
        elif step.kind is StepKind.REMOVE_KEYS:
            observed = _remove_keys(step, desired, observed)
        else:
            observed = _carry_out_step(step, desired, observed)
    return observed


# --- keys ------------------------------------------------------------------------


def _deliver(
    step: Step, desired: Desired, observed: Observed, digests: Digests
) -> Observed:
    keys = dict(observed.keys)
    for name in step.keys:
        want = desired.keys[name]
        late = step.kind is StepKind.DELIVER_LATE_KEYS
        assert late is not want.before_activation
        have = keys.get(want.path, ObservedKey(path=want.path, kind="missing"))
        keys[want.path] = _delivered(want, have, digests.known.get(name))
    return dataclasses.replace(observed, keys=keys)


def _delivered(want: DesiredKey, have: ObservedKey, digest: str | None) -> ObservedKey:
    assert have.folder == "", "nothing is written behind a link"
    assert have.in_memory or not want.path.startswith("/run/")
    assert have.kind != "directory", "a folder is in its place"
    assert digest or have.kind == "regular", "its content is not known"
    numbers = {"root": 0, "bot": 1000, "1000": 1000}
    return dataclasses.replace(
        have,
        kind="regular",
        digest=digest or have.digest,
        user=want.user,
        group=want.group,
        uid=numbers[want.user],
        gid=numbers[want.group],
        mode=want.mode,
    )


def _remove_keys(step: Step, desired: Desired, observed: Observed) -> Observed:
    keys = dict(observed.keys)
    for path in step.files:
        assert path not in {key.path for key in desired.keys.values()}
        assert keys[path].kind == "regular", "something else is in its place"
        keys[path] = ObservedKey(path=path, kind="missing")
    return dataclasses.replace(observed, keys=keys)


# --- units -----------------------------------------------------------------------


def _carry_out_step(step: Step, desired: Desired, observed: Observed) -> Observed:
    match step.kind:
        case StepKind.BUILD | StepKind.COPY:
            return observed
        case StepKind.ACTIVATE:
            return _activate(desired, observed)
        case StepKind.SET_BOOT:
            assert observed.running == desired.toplevel
            return dataclasses.replace(observed, profile=desired.toplevel)
        case StepKind.REBOOT:
            assert observed.running == observed.profile == desired.toplevel
            return dataclasses.replace(
                observed,
                booted=observed.profile,
                booted_parts=observed.running_parts,
            )
    assert step.unit is not None
    units = dict(observed.units)
    units[step.unit] = _on_unit(step, desired, units[step.unit])
    if step.kind in (StepKind.UNMASK, StepKind.REVERT):
        units = {
            n: dataclasses.replace(u, needs_reload=False) for n, u in units.items()
        }
    return dataclasses.replace(observed, units=units)


def _on_unit(step: Step, desired: Desired, unit: ObservedUnit) -> ObservedUnit:
    want = desired.units.get(unit.name)
    match step.kind:
        case StepKind.UNMASK | StepKind.REVERT:
            assert want is not None, "only files over declared units may go"
            return _remove(step, want, unit)
        case StepKind.STOP:
            return _stopped(unit)
        case StepKind.RESTART if want is None:
            asked = {u for key in desired.keys.values() for u in key.restart_units}
            assert unit.name in asked, "only a key restarts what is not declared"
            return unit
        case StepKind.RELOAD:
            return unit  # systemd refuses where the unit ended meanwhile; no harm
        case _:
            assert want is not None, "only declared units are started"
            assert not want.only_manual, "Operation refused"
            assert unit.load_state == "loaded", f"Unit {unit.name} is {unit.load_state}"
            return _started(want, unit)


def _remove(step: Step, want: DesiredUnit, unit: ObservedUnit) -> ObservedUnit:
    for file in step.files:
        assert file.startswith(("/run/systemd/", "/etc/systemd/")), file
        assert not file.startswith(SYSTEM), "the system's own files are not to go"
    pairs = zip(unit.drop_ins, unit.drop_in_files, strict=True)
    left = [pair for pair in pairs if pair[0] not in step.files]
    unit = dataclasses.replace(
        unit,
        drop_ins=tuple(path for path, _ in left),
        drop_in_files=tuple(real for _, real in left),
    )
    unnamed = unit.load_state == "masked" and unit.fragment_path == "/dev/null"
    places = (*BEFORE_SYSTEM, TRANSIENT)
    if unnamed:
        assert set(step.files) == {place + unit.name for place in places}
    if unnamed or unit.fragment_path in step.files:
        return _filed(want, unit)
    return unit


def _filed(want: DesiredUnit, unit: ObservedUnit) -> ObservedUnit:
    """Return the unit as loaded from the system's own file."""
    masked = want.path is None
    return dataclasses.replace(
        unit,
        load_state="masked" if masked else "loaded",
        fragment=want.path or "/dev/null",
        fragment_path=SYSTEM + unit.name,
    )


def _started(want: DesiredUnit, unit: ObservedUnit) -> ObservedUnit:
    job = want.type == "oneshot" and not want.remain_after_exit
    return dataclasses.replace(
        unit,
        active_state="inactive" if job else "active",
        sub_state="dead" if job else "running",
        result="success",
        condition_met=True,
        condition_at=2000.0,
    )


def _stopped(unit: ObservedUnit) -> ObservedUnit:
    return dataclasses.replace(
        unit, active_state="inactive", sub_state="dead", result="success"
    )


# --- switch-to-configuration test ------------------------------------------------


def _activate(desired: Desired, observed: Observed) -> Observed:
    units: Units = dict(observed.units)
    for name, unit in observed.units.items():
        if name not in desired.units:
            units[name] = _without(unit)
    for name, want in desired.units.items():
        units[name] = _switched(want, observed.units.get(name))
    return dataclasses.replace(observed, running=desired.toplevel, units=units)


def _without(unit: ObservedUnit) -> ObservedUnit:
    """Return a unit that the new system does not have; only its own are stopped."""
    if not unit.fragment_path.startswith(SYSTEM):
        return unit
    if "-unit-" not in unit.fragment:
        return unit
    gone = dataclasses.replace(
        _stopped(unit), load_state="not-found", fragment="", fragment_path=""
    )
    return (
        gone
        if unit.active_state in UP
        else dataclasses.replace(gone, active_state=unit.active_state)
    )


def _switched(want: DesiredUnit, have: ObservedUnit | None) -> ObservedUnit:
    unit = have or ObservedUnit(
        name=want.name, load_state="not-found", active_state="inactive"
    )
    unit = dataclasses.replace(unit, needs_reload=False)
    before = unit
    if not unit.fragment_path.startswith((*BEFORE_SYSTEM, TRANSIENT, "/dev/null")):
        loaded = want.path in (unit.fragment, *unit.drop_in_files)
        unit = unit if loaded and want.path else _filed(want, unit)
    if unit == before or unit.load_state != "loaded":
        stops = unit.load_state == "masked" and unit.active_state in UP
        return _stopped(unit) if stops and want.path is None else unit
    return _moved(want, unit)


def _moved(want: DesiredUnit, unit: ObservedUnit) -> ObservedUnit:
    """Return a unit with a new file after the switch's restarts and targets."""
    if want.wanted and unit.active_state in (*UP, "inactive", "failed"):
        return _started(want, unit)
    return _stopped(unit) if unit.active_state == "failed" else unit
