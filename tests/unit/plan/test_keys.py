"""A key lies where it should, holds what it should and is its owner's, or is told."""

import dataclasses

import pytest

from reconciler.model import (
    DesiredKey,
    Digests,
    DriftKind,
    Effect,
    KeyOrigin,
    Mode,
    ObservedKey,
    Plan,
    Policy,
    StepKind,
    StorePath,
    UnitName,
    Verdict,
)
from reconciler.plan import as_text, plan, restart_steps, summary_lines
from tests.unit.plan.samples import (
    BOT,
    KNOWN,
    OLD,
    OLD_FILE,
    STOPPED,
    desired,
    have,
    observed,
    only_drift,
    want,
)

PATH = "/run/keys/bot"
RIGHT, OTHER = "a" * 64, "b" * 64
DIGESTS = Digests(known={"bot": RIGHT})
LOST = Digests(problems={"bot": "secrets/bot.env: no such file"})
WIDE = {"mode": 0o644}


def key(**fields: object) -> DesiredKey:
    made = DesiredKey(
        name="bot",
        path=PATH,
        origin=KeyOrigin.TEXT,
        user="bot",
        group="keys",
        mode=0o640,
        restart_units=(BOT,),
    )
    return dataclasses.replace(made, **fields)  # type: ignore[arg-type]


def file(**fields: object) -> ObservedKey:
    made = ObservedKey(
        path=PATH,
        kind="regular",
        digest=RIGHT,
        user="bot",
        group="keys",
        uid=1000,
        gid=96,
        mode=0o640,
    )
    return dataclasses.replace(made, **fields)  # type: ignore[arg-type]


MISSING = ObservedKey(path=PATH, kind="missing")


def planned(
    declared: DesiredKey,
    *seen: ObservedKey,
    digests: Digests = DIGESTS,
    policy: Policy | None = None,
    **host: object,
) -> Plan:
    wanted = dataclasses.replace(desired(want()), keys={declared.name: declared})
    units = host.pop("units", (have(),))
    there = observed(*units, keys={k.path: k for k in seen}, **host)  # type: ignore[misc]
    return plan(wanted, there, known=KNOWN, policy=policy or Policy(), digests=digests)


def steps(made: Plan) -> list[tuple[StepKind, tuple[str, ...]]]:
    return [
        (step.kind, (*step.keys, *step.files, *filter(None, [step.unit])))
        for step in made.steps
    ]


DELIVER = (StepKind.DELIVER_KEYS, ("bot",))
RESTART = (StepKind.RESTART, (BOT,))


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(file(), id="by name"),
        pytest.param(file(user="robot", uid=1000), id="by another name"),
    ],
)
def test_as_it_should_be(seen: ObservedKey) -> None:
    declared = key(user="1000") if seen.user == "robot" else key()

    made = planned(declared, seen)

    assert (made.verdict, made.drifts) == (Verdict.CONVERGED, ())


@pytest.mark.parametrize(
    ("seen", "kind", "told"),
    [
        pytest.param(MISSING, DriftKind.KEY_MISSING, "missing", id="after a reboot"),
        pytest.param(
            file(digest=OTHER),
            DriftKind.KEY_CHANGED,
            "holds something else",
            id="overwritten, or a new secret",
        ),
        pytest.param(
            file(digest=""), DriftKind.KEY_CHANGED, "cannot be read", id="unreadable"
        ),
        pytest.param(
            file(kind="symlink", digest=""),
            DriftKind.KEY_CHANGED,
            "symlink in its place",
            id="a symlink, wherever it leads",
        ),
    ],
)
def test_what_is_delivered(seen: ObservedKey, kind: DriftKind, told: str) -> None:
    made = planned(key(), seen)

    drift = only_drift(made)
    assert (drift.kind, drift.subject, drift.observed) == (kind, "bot", told)
    assert (drift.effect, drift.restarts) == (Effect.DELIVER, (BOT,))
    assert steps(made) == [DELIVER, RESTART]
    assert made.verdict is Verdict.HEAL


def test_a_key_that_the_probe_says_nothing_of_is_missing() -> None:
    assert only_drift(planned(key())).kind is DriftKind.KEY_MISSING


@pytest.mark.parametrize(
    "wrong",
    [{"user": "root", "uid": 0}, {"group": "root", "gid": 0}, {"mode": 0o644}],
    ids=str,
)
def test_permissions_are_set_without_a_restart(wrong: dict[str, object]) -> None:
    made = planned(key(), file(**wrong))

    drift = only_drift(made)
    assert (drift.kind, drift.effect) == (DriftKind.KEY_PERMISSIONS, Effect.PERMIT)
    assert drift.desired == "bot:keys 0640"
    assert steps(made) == [DELIVER]


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (
            file(folder="/etc"),
            "its folder leads elsewhere, to /etc",
        ),
        (MISSING, "missing: its folder is below /run and not in memory"),
        (file(), "its folder is below /run and not in memory"),
        (file(kind="directory"), "directory in its place: not ours to remove"),
    ],
)
def test_where_nothing_may_be_written(seen: ObservedKey, told: str) -> None:
    on_disk = "memory" in told
    made = planned(key(), dataclasses.replace(seen, in_memory=not on_disk))

    assert only_drift(made).observed == told
    assert only_drift(made).effect is Effect.NONE
    assert (made.verdict, made.steps) == (Verdict.REPORTED, ())
    assert made.reason == f"no step closes this: key bot {told}"


def test_a_key_on_a_disk_is_as_its_commit_says_elsewhere() -> None:
    path = "/var/lib/keys/bot"

    made = planned(key(path=path), file(path=path, in_memory=False))

    assert made.verdict is Verdict.CONVERGED


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (MISSING, "missing: secrets/bot.env: no such file"),
        (file(), "cannot be compared: secrets/bot.env: no such file"),
        (file(kind="fifo"), "fifo in its place: secrets/bot.env: no such file"),
    ],
)
def test_a_key_without_a_source_is_told_and_open(seen: ObservedKey, told: str) -> None:
    made = planned(key(), seen, digests=LOST)

    assert only_drift(made).observed == told
    assert (made.verdict, made.steps) == (Verdict.REPORTED, ())


def test_a_key_without_a_source_does_not_keep_others_from_their_places() -> None:
    other = key(name="wifi", path="/run/keys/wifi", restart_units=())
    wanted = dataclasses.replace(desired(), keys={"bot": key(), "wifi": other})
    digests = Digests(known={"wifi": RIGHT}, problems=LOST.problems)

    made = plan(wanted, observed(), known=KNOWN, policy=Policy(), digests=digests)

    assert [drift.subject for drift in made.drifts] == ["bot", "wifi"]
    assert steps(made) == [(StepKind.DELIVER_KEYS, ("wifi",))]


def test_its_permissions_are_set_all_the_same() -> None:
    made = planned(key(), file(**WIDE), digests=LOST)

    drift = only_drift(made)
    assert drift.observed.endswith("no such file; bot:keys 0644")
    assert (drift.effect, steps(made)) == (Effect.PERMIT, [DELIVER])


def test_nobody_said_what_it_holds() -> None:
    made = planned(key(), file(), digests=Digests())

    assert only_drift(made).observed == "cannot be compared: its content is not known"


def test_late_keys_come_after_the_switch() -> None:
    made = planned(key(before_activation=False), MISSING, running=OLD, profile=OLD)

    kinds = [step.kind for step in made.steps]
    assert kinds.index(StepKind.DELIVER_LATE_KEYS) > kinds.index(StepKind.ACTIVATE)
    assert StepKind.DELIVER_KEYS not in kinds


def test_keys_come_before_the_switch() -> None:
    unit = have(**OLD_FILE)
    seen = {"running": OLD, "profile": OLD, "units": (unit,)}

    kinds = [step.kind for step in planned(key(), MISSING, **seen).steps]

    assert kinds.index(StepKind.DELIVER_KEYS) < kinds.index(StepKind.ACTIVATE)


@pytest.mark.parametrize(
    ("unit", "seen"),
    [
        pytest.param(want(), have(**STOPPED, condition_met=False), id="is down"),
        pytest.param(want(only_manual=True), have(), id="only by hand"),
        pytest.param(want(), have(load_state="masked"), id="cannot be started"),
    ],
)
def test_units_that_are_not_restarted(unit: object, seen: object) -> None:
    declared = key()
    wanted = dataclasses.replace(desired(unit), keys={"bot": declared})  # type: ignore[arg-type]
    there = observed(seen)  # type: ignore[arg-type]

    made = plan(wanted, there, known=KNOWN, policy=Policy(), digests=DIGESTS)

    (drift,) = (d for d in made.drifts if d.subject == "bot")
    assert drift.restarts == ()


def test_what_began_anew_has_the_new_key() -> None:
    """A switch may restart the unit between the delivery and the look after it."""
    wanted = dataclasses.replace(desired(want()), keys={"bot": key()})
    before = observed(have(invocation="1"))
    again = observed(have(invocation="2"))

    due = restart_steps(wanted, before, ["bot", "gone"], after=before)

    assert [step.unit for step in due] == [BOT]
    assert restart_steps(wanted, before, ["bot"], after=again) == ()
    assert restart_steps(wanted, before, []) == ()


def test_a_unit_of_a_package_is_restarted_too() -> None:
    bus = UnitName("dbus.service")
    path = StorePath("/nix/store/d-dbus/lib/systemd/system/dbus.service")

    made = planned(
        key(restart_units=(bus,)), MISSING, units=(have(), have(bus, fragment=path))
    )

    assert only_drift(made).restarts == (bus,)


# --- keys that are no longer declared ---------------------------------------------


def extra(seen: ObservedKey, delivered: str = PATH) -> Plan:
    known = dataclasses.replace(KNOWN, delivered=frozenset({delivered}))
    there = observed(keys={seen.path: seen})
    return plan(desired(), there, known=known, policy=Policy())


def test_a_key_that_is_no_longer_declared_is_removed() -> None:
    made = extra(file())

    assert only_drift(made).kind is DriftKind.KEY_EXTRA
    assert steps(made) == [(StepKind.REMOVE_KEYS, (PATH,))]
    assert as_text(summary_lines(made)) == (
        "- /run/keys/bot  no longer declared, will remove"
    )


def test_a_file_that_we_did_not_deliver_stays() -> None:
    assert extra(file(), delivered="/run/keys/other").drifts == ()
    assert extra(MISSING).drifts == ()


@pytest.mark.parametrize(
    "seen", [file(kind="symlink"), file(kind="directory"), file(folder="/etc")]
)
def test_what_somebody_put_in_its_place_stays(seen: ObservedKey) -> None:
    made = extra(seen)

    assert only_drift(made).lasting
    assert (made.verdict, made.steps) == (Verdict.CONVERGED, ())


# --- policy and words -------------------------------------------------------------


@pytest.mark.parametrize(
    "policy", [Policy(mode=Mode.REPORT), Policy(heal=False)], ids=str
)
def test_what_the_policy_forbids_is_only_shown(policy: Policy) -> None:
    made = planned(key(), MISSING, policy=policy)

    assert (made.verdict, made.steps) == (Verdict.REPORTED, ())
    assert as_text(summary_lines(made)) == (
        "+ key bot  missing, would deliver and restart withinbot.service"
    )


def test_another_machine_gets_no_key() -> None:
    made = planned(key(), MISSING, machine_id="m2")

    assert [drift.kind for drift in made.drifts] == [DriftKind.WRONG_MACHINE]
    assert made.steps == ()


def test_lines_of_keys() -> None:
    quiet = key(restart_units=())
    seen = [
        planned(quiet, MISSING),
        planned(key(), file(digest=OTHER)),
        planned(quiet, file(**WIDE)),
        planned(quiet, MISSING, digests=LOST),
    ]

    assert [as_text(summary_lines(made)) for made in seen] == [
        "+ key bot  missing, will deliver",
        "~ key bot  holds something else, will deliver and restart withinbot.service",
        "~ key bot  bot:keys 0644 -> bot:keys 0640, will set owner and mode",
        "+ key bot  missing: secrets/bot.env: no such file",
    ]
