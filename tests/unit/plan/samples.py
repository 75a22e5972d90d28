"""A host with few words: what the examples of this folder are made of."""

import dataclasses
from collections.abc import Iterable

from reconciler.model import (
    Desired,
    DesiredUnit,
    Drift,
    DriftKind,
    Effect,
    HostName,
    Known,
    Observed,
    ObservedUnit,
    Plan,
    Policy,
    Step,
    StepKind,
    StorePath,
    SystemParts,
    Target,
    UnitName,
)
from reconciler.plan import plan

LUFTA = HostName("lufta")
OLD = StorePath("/nix/store/0ldold0ldold0ldold0ldold0ldold00-nixos-system-lufta-24.05")
NEW = StorePath("/nix/store/n3wn3wn3wn3wn3wn3wn3wn3wn3wn3w00-nixos-system-lufta-24.05")
BOT = UnitName("withinbot.service")

KNOWN = Known(applied=NEW, machine_id="m1")


def path_of(name: str, digest: str = "g00d") -> StorePath:
    """Return where NixOS puts a unit that it generates."""
    return StorePath(f"/nix/store/{digest * 8}-unit-{name.replace('@', '-')}/{name}")


def want(name: str = BOT, /, **fields: object) -> DesiredUnit:
    """Return a declared unit: a service that the boot targets want."""
    unit = DesiredUnit(
        name=UnitName(name), path=path_of(name), wanted=True, type="simple"
    )
    return dataclasses.replace(unit, **fields)  # type: ignore[arg-type]


def have(name: str = BOT, /, **fields: object) -> ObservedUnit:
    """Return a unit as it should be: loaded from the desired file, and active."""
    unit = ObservedUnit(
        name=UnitName(name),
        load_state="loaded",
        active_state="active",
        sub_state="running",
        result="success",
        fragment=path_of(name),
        fragment_path=f"/etc/systemd/system/{name}",
        condition_at=900.0,
    )
    return dataclasses.replace(unit, **fields)  # type: ignore[arg-type]


STOPPED = {"active_state": "inactive", "sub_state": "dead"}
FAILED = {"active_state": "failed", "sub_state": "failed", "result": "exit-code"}
OLD_FILE = {"fragment": path_of(BOT, "0ld0")}
GONE = {"load_state": "not-found", "fragment": "", "fragment_path": "", **STOPPED}


def desired(*units: DesiredUnit) -> Desired:
    """Return what lufta should be: the new system with *units*."""
    return Desired(
        host=LUFTA,
        toplevel=NEW,
        derivation=StorePath(NEW + ".drv"),
        units={unit.name: unit for unit in units},
        target=Target(address="lufta.example"),
        tags=("web",),
    )


def observed(*units: ObservedUnit, **fields: object) -> Observed:
    """Return what lufta is: the new system with *units*."""
    seen = Observed(
        host=LUFTA,
        began_at=1000.0,
        running=NEW,
        booted=NEW,
        profile=NEW,
        boot_id="b1",
        machine_id="m1",
        running_parts=SystemParts(),
        booted_parts=SystemParts(),
        units={unit.name: unit for unit in units},
        store_free=10**9,
        clock=1000.0,
    )
    return dataclasses.replace(seen, **fields)  # type: ignore[arg-type]


def plan_of(wants: Iterable[DesiredUnit], seen: Observed, known: Known = KNOWN) -> Plan:
    """Return the plan for lufta under the default policy."""
    return plan(desired(*wants), seen, known=known, policy=Policy())


def one(unit: DesiredUnit, *seen: ObservedUnit, **fields: object) -> Plan:
    """Return the plan for lufta with one declared unit."""
    return plan_of([unit], observed(*seen, **fields))


def told(made: Plan) -> list[tuple[DriftKind, str, Effect]]:
    """Return the drifts of units, without their words for people."""
    return [(d.kind, d.subject, d.effect) for d in made.drifts if d.subject]


def only_drift(made: Plan) -> Drift:
    """Return the one drift of a plan that has one."""
    (drift,) = made.drifts
    return drift


def steps(made: Plan) -> list[str]:
    """Return the steps as words: ``start withinbot.service``."""
    return [f"{s.kind.value} {s.unit or ''}".strip() for s in made.steps]


def step(kind: StepKind, name: UnitName = BOT, files: tuple[str, ...] = ()) -> Step:
    """Return a step on one unit."""
    return Step(kind=kind, unit=name, files=files)
