"""
Hypothesis strategies for what hosts should be and what they are.

Not every combination of fields, but every situation that systemd and NixOS bring
about, with each state: so that most examples say something.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from hypothesis import strategies as st

from reconciler.model import (
    Desired,
    DesiredUnit,
    Digests,
    HostName,
    Known,
    Mode,
    Observed,
    ObservedUnit,
    Policy,
    Reboot,
    StorePath,
    SystemParts,
    Target,
    UnitName,
)
from tests.support.key_strategies import keys

HOST = HostName("lufta")
OLD, NEW, ODD = (
    StorePath(f"/nix/store/{char * 32}-nixos-system-lufta-24.05") for char in "onx"
)
SYSTEM = "/etc/systemd/system/"

STEMS = ("withinbot", "printerfacts", "nginx", "backup")
KINDS = ("service", "service", "service", "socket", "timer", "target", "mount", "slice")
STATES = (
    ("active", "running", "success"),
    ("active", "exited", "success"),
    ("reloading", "reload", "success"),
    ("inactive", "dead", "success"),
    ("failed", "failed", "exit-code"),
    ("failed", "failed", "start-limit-hit"),
    ("activating", "auto-restart", "exit-code"),
    ("activating", "auto-restart", "success"),
    ("activating", "start-pre", "success"),
    ("deactivating", "stop-sigterm", "success"),
)
HAND_FRAGMENTS = (
    "/run/systemd/system.control/",
    "/etc/systemd/system.control/",
    "/run/systemd/transient/",
    "/run/systemd/system/",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One host, as it should be and as it is, and what else a plan takes."""

    desired: Desired
    observed: Observed
    known: Known
    policy: Policy
    digests: Digests


def unit_path(name: str, digest: str = "d") -> StorePath:
    """Return where NixOS puts a unit that it generates."""
    safe = name.replace("@", "-")
    return StorePath(f"/nix/store/{digest * 32}-unit-{safe}/{name}")


names = st.builds(
    lambda stem, kind: UnitName(f"{stem}.{kind}"),
    st.sampled_from(STEMS),
    st.sampled_from(KINDS),
)


@st.composite
def desired_units(draw: st.DrawFn, name: UnitName) -> DesiredUnit:
    """Draw one declared unit; one in eight is masked by the commit."""
    service = name.endswith(".service")
    flag = st.booleans()
    return DesiredUnit(
        name=name,
        path=None if draw(st.integers(0, 7)) == 0 else unit_path(name),
        wanted=draw(flag),
        type=draw(st.sampled_from(("simple", "oneshot"))) if service else "",
        remain_after_exit=service and draw(flag),
        triggered=service and draw(flag),
        restart_if_changed=draw(flag),
        reload_if_changed=service and draw(flag),
        stop_if_changed=draw(flag),
        only_manual=draw(st.integers(0, 5)) == 0,
    )


def _by_system(name: str, digest: str) -> dict[str, object]:
    return {"fragment": unit_path(name, digest), "fragment_path": SYSTEM + name}


@st.composite
def observed_files(draw: st.DrawFn, name: UnitName) -> dict[str, object]:
    """Draw where the file of a unit comes from, and its drop-ins."""
    hand = draw(st.sampled_from(HAND_FRAGMENTS)) + name
    situations: list[dict[str, object]] = [
        _by_system(name, "d"),
        _by_system(name, "d"),
        _by_system(name, "e"),
        {"load_state": "not-found"},
        {"fragment": f"/lib/systemd/system/{name}"},
        {"fragment": hand, "fragment_path": hand},
        {"load_state": "masked", "fragment": "/dev/null", "fragment_path": hand},
        {"load_state": "masked", "fragment": "/dev/null", "fragment_path": "/dev/null"},
        {"load_state": "bad-setting", **_by_system(name, "d")},
        {
            "fragment": f"/nix/store/{'s' * 32}-systemd/example/systemd/system/{name}",
            "fragment_path": SYSTEM + name,
            "drop_ins": (f"{SYSTEM}{name}.d/overrides.conf",),
            "drop_in_files": (unit_path(name),),
        },
    ]
    files = {"load_state": "loaded", **draw(st.sampled_from(situations))}
    if "fragment" in files:
        files.setdefault("fragment_path", files["fragment"])
    return files


def _hand_drop_ins(name: UnitName) -> st.SearchStrategy[tuple[str, ...]]:
    places = (
        f"/run/systemd/system/{name}.d/override.conf",
        f"/etc/systemd/system.control/{name}.d/50-MemoryMax.conf",
        f"/usr/local/lib/systemd/system/{name}.d/local.conf",
        "/run/systemd/system/service.d/zzz-lxc-service.conf",
        f"/run/systemd/generator/{name}.d/10.conf",
    )
    return st.one_of(st.just(()), st.just(()), st.just(()), st.tuples(_one_of(places)))


def _one_of(values: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.sampled_from(values)


@st.composite
def observed_units(draw: st.DrawFn, name: UnitName) -> ObservedUnit:
    """Draw one unit as systemd reports it."""
    files = draw(observed_files(name))
    active, sub, result = draw(st.sampled_from(STATES))
    unit = ObservedUnit(
        name=name,
        active_state=active,
        sub_state=sub,
        result=result,
        condition_met=draw(st.booleans()),
        condition_at=draw(st.sampled_from((0.0, 1000.0))),
        restarts=draw(st.integers(0, 9)),
        finished=active == "inactive" and result == "success" and draw(st.booleans()),
        needs_reload=draw(st.integers(0, 5)) == 0,
        **files,  # type: ignore[arg-type]
    )
    extra = draw(_hand_drop_ins(name)) if unit.load_state == "loaded" else ()
    return dataclasses.replace(
        unit,
        drop_ins=unit.drop_ins + extra,
        drop_in_files=unit.drop_in_files + extra,
    )


@st.composite
def units(
    draw: st.DrawFn,
) -> tuple[Mapping[UnitName, DesiredUnit], Mapping[UnitName, ObservedUnit]]:
    """Draw what a host declares and what it has loaded; each may lack some."""
    declared = draw(st.lists(names, unique=True, max_size=4))
    loaded = draw(st.lists(names, unique=True, max_size=3))
    unseen = set(
        draw(st.lists(st.sampled_from(declared), max_size=1)) if declared else ()
    )
    seen = list({**dict.fromkeys(declared), **dict.fromkeys(loaded)})
    return (
        {name: draw(desired_units(name)) for name in declared},
        {name: draw(observed_units(name)) for name in seen if name not in unseen},
    )


parts = st.builds(
    SystemParts,
    kernel=st.sampled_from(("", "/nix/store/k1-linux", "/nix/store/k2-linux")),
    systemd=st.sampled_from(("", "/nix/store/s1-systemd")),
)
systems = st.sampled_from((OLD, NEW, NEW, ODD))
policies = st.builds(
    Policy,
    mode=st.sampled_from(Mode),
    heal=st.booleans(),
    removal_limit=st.sampled_from((0.0, 0.5, 1.0)),
    reboot=st.sampled_from(Reboot),
)
knowns = st.builds(
    Known,
    applied=st.one_of(st.none(), systems),
    machine_id=st.sampled_from((None, "m1", "m1", "m1", "m2")),
    hold=st.sampled_from((None, None, None, "disk is being changed")),
    quarantine=st.sampled_from((None, None, None, "it did not stay up")),
    services=st.frozensets(names, max_size=6),
    approved=st.booleans(),
    rebooted=st.booleans(),
)
never = st.just(False)  # noqa: FBT003 -- the value that is drawn
now_and_then = st.integers(0, 5).map(lambda number: number == 0)


@st.composite
def worlds(
    draw: st.DrawFn,
    *,
    known: st.SearchStrategy[Known] = knowns,
    policy: st.SearchStrategy[Policy] = policies,
    switching: st.SearchStrategy[bool] = now_and_then,
) -> World:
    """Draw a host with everything that a plan takes."""
    declared, loaded = draw(units())
    secrets = draw(keys({*declared, *loaded}))
    desired = Desired(
        host=HOST,
        toplevel=NEW,
        derivation=StorePath(NEW + ".drv"),
        units=declared,
        keys=secrets.desired,
        target=Target(address="lufta.example"),
    )
    observed = Observed(
        host=HOST,
        began_at=1000.0,
        running=draw(st.one_of(systems, systems, systems, st.none())),
        booted=draw(systems),
        profile=draw(st.one_of(systems, st.none())),
        boot_id="b1",
        machine_id="m1",
        running_parts=draw(parts),
        booted_parts=draw(parts),
        units=loaded,
        keys=secrets.observed,
        store_free=10**9,
        clock=1000.0,
        switching=draw(switching),
    )
    remembered = dataclasses.replace(draw(known), delivered=secrets.delivered)
    return World(
        desired=desired,
        observed=observed,
        known=remembered,
        policy=draw(policy),
        digests=secrets.digests,
    )
