"""Plans as people and machines read them."""

import dataclasses
import json

from reconciler.model import (
    Bell,
    BellState,
    CommitId,
    Hold,
    HostStatus,
    Known,
    ObservedUnit,
    Plan,
    Policy,
    Quarantine,
    SystemParts,
    Verdict,
)
from reconciler.plan import (
    as_dict,
    as_text,
    plan,
    status_as_dict,
    summary_lines,
    unreachable,
)
from tests.unit.plan.samples import (
    BOT,
    FAILED,
    KNOWN,
    LUFTA,
    NEW,
    OLD,
    STOPPED,
    desired,
    have,
    observed,
    path_of,
    plan_of,
    want,
)

WAS_OLD = Known(applied=OLD, machine_id="m1")


def older(name: str) -> ObservedUnit:
    return have(name, fragment=path_of(name, "0ld0"))


def deployment(known: Known = WAS_OLD) -> Plan:
    units = [
        want(),
        want("printerfacts.service"),
        want("agetty.service", restart_if_changed=False),
        want("dbus.service", reload_if_changed=True),
        want("cache.service", wanted=False),
        want("cache.socket"),
        want("off.service", path=None),
        want("nginx.service"),
    ]
    seen = observed(
        older(BOT),
        older("agetty.service"),
        older("dbus.service"),
        older("cache.service"),
        have("cache.socket"),
        older("off.service"),
        have("nginx.service", **STOPPED),
        have("old.service"),
        running=OLD,
        profile=OLD,
    )
    return plan_of(units, seen, known)


def text(made: Plan) -> str:
    return as_text(summary_lines(made))


DEPLOYMENT = """\
~ system                0ldold0l-nixos-system-lufta-24.05 -> n3wn3wn3-nixos-system-lufta-24.05, will activate
~ agetty.service        changed, will not restart
~ cache.service         changed, will stop until its socket starts it
~ dbus.service          changed, will reload
~ off.service           changed, will stop
~ withinbot.service     changed, will restart
+ printerfacts.service  new, will start
! nginx.service         stopped: inactive (dead), will start
- old.service           removed, will stop"""  # noqa: E501 # as printed


def test_a_deployment() -> None:
    assert text(deployment()) == DEPLOYMENT


def test_a_plan_that_is_held_says_what_would_happen() -> None:
    held = deployment(dataclasses.replace(WAS_OLD, hold="disk"))

    assert text(held) == DEPLOYMENT.replace(", will ", ", would ")


HEALING = """\
~ boot default       0ldold0l-nixos-system-lufta-24.05 -> n3wn3wn3-nixos-system-lufta-24.05, will set
+ gone.service       missing, will start
! a.service          stopped: inactive (dead), will start
! b.service          failed (start-limit-hit), will restart
! c.service          failed (exit-code), systemd retries, 3 so far
! d.service          overridden: /run/systemd/system/d.service.d/override.conf, will revert and restart
! e.service          overridden: masked: /run/systemd/system.control/e.service, will revert and start
! f.service          overridden: /usr/local/lib/systemd/system/f.service.d/x.conf
- withinbot.service  left over: g00dg00d-unit-withinbot.service/withinbot.service, will stop
i reboot             booted with kernel k1k1k1k1-linux-6.6"""  # noqa: E501 # as printed


def healing() -> Plan:
    drop_in = "/run/systemd/system/d.service.d/override.conf"
    mask = "/run/systemd/system.control/e.service"
    local = "/usr/local/lib/systemd/system/f.service.d/x.conf"
    retried = {"active_state": "activating", "sub_state": "auto-restart"}
    seen = observed(
        have("a.service", **STOPPED),
        have("b.service", **{**FAILED, "result": "start-limit-hit"}),
        have("c.service", **retried, result="exit-code", restarts=3),
        have("d.service", drop_ins=(drop_in,), drop_in_files=(drop_in,)),
        have("e.service", load_state="masked", fragment_path=mask, **STOPPED),
        have("f.service", drop_ins=(local,), drop_in_files=(local,)),
        have(BOT),
        profile=OLD,
        booted_parts=SystemParts(kernel="/nix/store/k1k1k1k1k1k1-linux-6.6"),
        running_parts=SystemParts(kernel="/nix/store/k2k2k2k2k2k2-linux-6.8"),
    )
    names = ["gone.service", *(f"{letter}.service" for letter in "abcdef")]
    return plan_of([want(name) for name in names], seen)


def test_a_healing() -> None:
    assert text(healing()) == HEALING


def test_nothing_to_tell() -> None:
    assert text(plan_of([], observed())) == ""


def test_hosts_that_are_not_touched() -> None:
    stranger = plan_of([], observed(machine_id="m2"))
    debian = plan_of([], observed(running=None))
    silent = unreachable(LUFTA, NEW, "no answer within 10 s")

    assert [text(made) for made in (stranger, debian, silent)] == [
        "! machine  m2 -> m1",
        "~ system  not a NixOS system -> n3wn3wn3-nixos-system-lufta-24.05",
        "! host  no answer within 10 s",
    ]


def test_a_plan_for_machines() -> None:
    wanted = dataclasses.replace(desired(want()), warnings=("nothing is backed up",))
    seen = observed(
        have(**STOPPED),
        booted_parts=SystemParts(kernel="/nix/store/k1"),
        running_parts=SystemParts(kernel="/nix/store/k2"),
    )

    told = as_dict(
        plan(wanted, seen, known=KNOWN, policy=Policy()), wanted, CommitId("c0ffee")
    )

    assert json.loads(json.dumps(told)) == {
        "host": "lufta",
        "commit": "c0ffee",
        "error": "",
        "configuration_warnings": ["nothing is backed up"],
        "address": "lufta.example",
        "tags": ["web"],
        "target": NEW,
        "derivation": NEW + ".drv",
        "verdict": "heal",
        "in_sync": False,
        "reason": "",
        "drifts": [
            {
                "kind": "unit-stopped",
                "subject": "withinbot.service",
                "desired": "active",
                "observed": "inactive (dead)",
                "effect": "start",
                "restarts": [],
                "lasting": False,
                "open": True,
            },
            {
                "kind": "reboot-needed",
                "subject": "",
                "desired": "kernel /nix/store/k2",
                "observed": "kernel /nix/store/k1",
                "effect": "none",
                "restarts": [],
                "lasting": False,
                "open": False,
            },
        ],
        "only_path": False,
        "warnings": [],
        "steps": [
            {"kind": "start", "unit": "withinbot.service", "files": [], "keys": []}
        ],
    }


def test_a_status_for_machines() -> None:
    status = HostStatus(
        host=LUFTA,
        commit=CommitId("c0ffee"),
        updated_at=1000.0,
        verdict=Verdict.CONVERGED,
        reachable=True,
        target=NEW,
        running=NEW,
        units_desired=3,
        units_active=2,
        keys_desired=2,
        keys_present=1,
        address="lufta.example",
        tags=("web",),
    )

    assert json.loads(json.dumps(status_as_dict(status))) == {
        "host": "lufta",
        "address": "lufta.example",
        "tags": ["web"],
        "commit": "c0ffee",
        "target": NEW,
        "running": NEW,
        "verdict": "converged",
        "in_sync": True,
        "reachable": True,
        "updated_at": 1000.0,
        "drift_since": None,
        "units": {"desired": 3, "active": 2},
        "keys": {"desired": 2, "present": 1},
        "drifts": [],
        "error": "",
        "hold": None,
        "quarantine": None,
        "bell": None,
        "report": None,
    }
    rings = dataclasses.replace(status, bell=Bell(state=BellState.RINGS))
    assert status_as_dict(rings)["bell"] == {"state": "rings", "why": ""}
    unknown = dataclasses.replace(status, verdict=None, error="no route to host")
    assert status_as_dict(unknown)["verdict"] is None
    assert status_as_dict(unknown)["in_sync"] is False
    hold = Hold(host=LUFTA, reason="wait", actor="cadey", since=1.0, until=2.0)
    failed = Quarantine(host=LUFTA, toplevel=NEW, reason="no", since=1.0, attempt="a")
    ordered = dataclasses.replace(status, hold=hold, quarantine=failed)
    assert json.loads(json.dumps(status_as_dict(ordered)))["hold"] == {
        "reason": "wait",
        "actor": "cadey",
        "since": 1.0,
        "until": 2.0,
    }
    assert json.loads(json.dumps(status_as_dict(ordered)))["quarantine"] == {
        "toplevel": NEW,
        "reason": "no",
        "since": 1.0,
        "attempt": "a",
        "failures": 1,
    }
