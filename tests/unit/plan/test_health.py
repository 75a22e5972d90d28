"""What makes a host unhealthy after a switch, case by case."""

import dataclasses

import pytest

from reconciler.errors import StateError
from reconciler.model import (
    CheckResult,
    Desired,
    DesiredKey,
    DesiredUnit,
    KeyOrigin,
    Observed,
    ObservedKey,
    ObservedUnit,
    UnitName,
)
from reconciler.plan import (
    Baseline,
    Problem,
    ProblemKind,
    in_restart,
    judge,
    still_broken,
    still_moving,
    to_ask_about,
)
from tests.unit.plan.samples import (
    BOT,
    FAILED,
    GONE,
    OLD,
    OLD_FILE,
    STOPPED,
    desired,
    have,
    observed,
    want,
)

NOTHING = Baseline(boot_id="b1")
RETRIED = {"active_state": "activating", "sub_state": "auto-restart", "restarts": 7}
STARTING = {"active_state": "activating", "sub_state": "start"}
PATH = "/run/keys/bot"
KEY = DesiredKey(name="bot", path=PATH, origin=KeyOrigin.FILE)
STANDS = ObservedKey(
    path=PATH, kind="regular", digest="d", user="root", group="root", mode=0o600
)


def verdict(
    *wants: DesiredUnit,
    now: tuple[ObservedUnit, ...],
    early: tuple[ObservedUnit, ...] | None = None,
    before: Baseline = NOTHING,
) -> list[tuple[ProblemKind, str]]:
    """Return what is wrong with which unit; the early look is like the late one."""
    problems = judge(
        desired(*wants),
        before=before,
        early=observed(*(now if early is None else early)),
        now=observed(*now),
    )
    assert all(problem.unit in problem.text for problem in problems)
    return [(problem.what, problem.unit) for problem in problems]


def baseline(*units: ObservedUnit, wants: tuple[DesiredUnit, ...] = ()) -> Baseline:
    return Baseline.of(desired(*(wants or (want(),))), observed(*units))


# --- units -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "what"),
    [
        (have(), None),
        (have(active_state="reloading"), None),
        (have(**STOPPED), ProblemKind.NOT_ACTIVE),
        (have(**GONE), ProblemKind.NOT_ACTIVE),
        (have(**STARTING), ProblemKind.NOT_ACTIVE),
        (have(active_state="deactivating"), ProblemKind.NOT_ACTIVE),
        (have(**FAILED), ProblemKind.FAILED),
        (have(load_state="bad-setting", **STOPPED), ProblemKind.FAILED),
        (have(**RETRIED, result="exit-code"), ProblemKind.RESTART_LOOP),
        (have(**RETRIED, result="success"), None),
        (have(**STOPPED, condition_met=False), None),
        (have(**STOPPED, finished=True), None),
    ],
)
def test_a_wanted_unit(seen: ObservedUnit, what: ProblemKind | None) -> None:
    assert verdict(want(), now=(seen,)) == ([] if what is None else [(what, BOT)])


def test_a_wanted_unit_that_systemd_does_not_know() -> None:
    assert verdict(want(), now=()) == [(ProblemKind.NOT_ACTIVE, BOT)]


@pytest.mark.parametrize(
    "unit",
    [
        want(wanted=False),
        want(type="oneshot"),
        want(triggered=True),
        want("user.slice"),
        want("worker@.service"),
        want(path=None),
    ],
)
def test_a_unit_that_need_not_be_up(unit: DesiredUnit) -> None:
    seen = have(unit.name, **STOPPED)

    assert verdict(unit, now=(seen,)) == []


@pytest.mark.parametrize(
    "unit", [want(wanted=False), want(type="oneshot"), want(triggered=True)]
)
def test_a_unit_that_need_not_be_up_must_not_have_failed(unit: DesiredUnit) -> None:
    assert verdict(unit, now=(have(**FAILED),)) == [(ProblemKind.FAILED, BOT)]


def test_what_was_up_before_must_be_up_though_nothing_wants_it() -> None:
    unit = want(wanted=False)
    before = baseline(have(**OLD_FILE), wants=(unit,))

    assert verdict(unit, now=(have(**STOPPED),), before=before) == [
        (ProblemKind.NOT_ACTIVE, BOT)
    ]
    assert verdict(unit, now=(have(**STOPPED),)) == []
    assert verdict(now=(have(**STOPPED),), before=before) == []  # not declared now


@pytest.mark.parametrize("unit", [want(wanted=False, triggered=True)])
def test_a_job_that_ran_before_may_be_over(unit: DesiredUnit) -> None:
    before = baseline(have(), wants=(unit,))

    assert verdict(unit, now=(have(**STOPPED),), before=before) == []


# --- staying up ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("early", "now", "what"),
    [
        ({}, {"restarts": 1, "invocation": "i2"}, ProblemKind.RESTART_LOOP),
        ({"restarts": 3}, {"restarts": 4}, ProblemKind.RESTART_LOOP),
        ({"restarts": 3}, {"restarts": 3}, None),
        ({"invocation": "i1"}, {"invocation": "i2"}, ProblemKind.RESTARTED),
        ({"restarts": 3}, {"restarts": 0}, None),  # somebody restarted it by hand …
        ({"invocation": "i1", "restarts": 3}, {}, ProblemKind.RESTARTED),  # seen so
        ({**STARTING, "invocation": "i1"}, {"invocation": "i2"}, None),
        (STOPPED, {}, None),
    ],
)
def test_a_unit_that_began_anew(
    early: dict[str, object], now: dict[str, object], what: ProblemKind | None
) -> None:
    found = verdict(want(), early=(have(**early),), now=(have(**now),))

    assert found == ([] if what is None else [(what, BOT)])


def test_a_job_may_begin_anew_and_not_be_restarted() -> None:
    job = want(triggered=True, wanted=False)
    early, now = have(invocation="i1"), have(invocation="i2")

    assert verdict(job, early=(early,), now=(now,)) == []
    looping = dataclasses.replace(now, restarts=1)
    assert verdict(job, early=(early,), now=(looping,)) == [
        (ProblemKind.RESTART_LOOP, BOT)
    ]


# --- what was broken before ------------------------------------------------------

BROKEN = [
    have(**FAILED),
    have(**STOPPED),
    have(**STARTING),
    have(**RETRIED, result="exit-code"),
    have(**RETRIED, result="success"),
    have(load_state="masked", fragment="/dev/null", **STOPPED),
    have(load_state="bad-setting", **STOPPED),
    have(restarts=1, condition_at=900.0),  # a minute and a half ago
]


@pytest.mark.parametrize("was", BROKEN)
@pytest.mark.parametrize("then", [FAILED, STOPPED, RETRIED, STARTING])
def test_what_was_broken_and_is_untouched_does_not_count(
    was: ObservedUnit, then: dict[str, object]
) -> None:
    now = have(
        load_state=was.load_state,
        fragment=was.fragment,
        **{"result": "exit-code", **then},
    )

    assert verdict(want(), now=(now,), before=baseline(was)) == []


def test_what_nobody_wants_may_be_broken_too() -> None:
    waits = have(
        active_state="activating", sub_state="auto-restart", result="exit-code"
    )
    unit = want(wanted=False)

    assert verdict(unit, now=(waits,)) == [(ProblemKind.RESTART_LOOP, BOT)]
    before = baseline(waits, wants=(unit,))
    assert verdict(unit, now=(waits,), before=before) == []


@pytest.mark.parametrize("was", BROKEN)
def test_what_was_broken_and_is_touched_counts_if_it_fails_in_another_way(
    was: ObservedUnit,
) -> None:
    before = baseline(dataclasses.replace(was, **OLD_FILE))  # type: ignore[arg-type]
    now = have(**{**FAILED, "result": "timeout"})

    assert verdict(want(), now=(now,), before=before) == [(ProblemKind.FAILED, BOT)]


DIED = {**FAILED, "ended": "1 7"}


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        (DIED, DIED, "failed (exit-code)"),
        ({**RETRIED, "result": "exit-code", "ended": "1 7"}, DIED, "failed"),
        (
            {"load_state": "bad-setting", **STOPPED},
            {"load_state": "bad-setting", **STOPPED},
            "cannot be loaded",
        ),
    ],
)
def test_what_was_broken_in_the_same_way_is_told_and_not_judged(
    was: dict[str, object], now: dict[str, object], told: str
) -> None:
    """A newer nixpkgs touches every unit, also one that has been ill for long."""
    before = baseline(have(**{**was, **OLD_FILE}))
    after = have(**now)

    assert verdict(want(), now=(after,), before=before) == []
    (text,) = still_broken(desired(want()), before, observed(after))
    assert text.startswith(f"{BOT} {told}")


@pytest.mark.parametrize("ended", ["1 8", "2 7", ""])
def test_another_status_is_another_way(ended: str) -> None:
    before = baseline(have(**{**DIED, **OLD_FILE}))
    now = have(**{**DIED, "ended": ended})

    assert verdict(want(), now=(now,), before=before) == [(ProblemKind.FAILED, BOT)]
    assert still_broken(desired(want()), before, observed(now)) == ()


def test_what_was_stopped_is_started_and_then_counts() -> None:
    before = baseline(have(**{**STOPPED, **OLD_FILE}))

    assert verdict(want(), now=(have(**STOPPED),), before=before) == [
        (ProblemKind.NOT_ACTIVE, BOT)
    ]


def test_a_drop_in_is_part_of_a_unit() -> None:
    before = baseline(have(**FAILED, drop_in_files=("/nix/store/a",)))
    now = have(**{**FAILED, "result": "signal"}, drop_in_files=("/nix/store/b",))

    assert verdict(want(), now=(now,), before=before) == [(ProblemKind.FAILED, BOT)]


# --- services that work in rounds ------------------------------------------------

AGAIN = {"restart": "always", "invocation": "i2", "restarts": 2}


@pytest.mark.parametrize(
    ("now", "what"),
    [
        ({**AGAIN, "ends_well": True}, None),
        ({**AGAIN}, ProblemKind.RESTART_LOOP),  # the journal does not say that
        ({**AGAIN, "restart": "on-success"}, None),
        ({**AGAIN, "restart": "on-failure"}, ProblemKind.RESTART_LOOP),
        ({**RETRIED, "restarts": 1, "result": "success"}, None),
        (
            {**FAILED, "result": "start-limit-hit", "ends_well": True},
            ProblemKind.FAILED,
        ),
    ],
)
def test_rounds_may_end_well(now: dict[str, object], what: ProblemKind | None) -> None:
    early = have(restart="always", invocation="i1", restarts=1)

    found = verdict(want(), early=(early,), now=(have(**now),))

    assert found == ([] if what is None else [(what, BOT)])


PAUSES = {"sub_state": "auto-restart", "active_state": "activating"}
RUNS = {"sub_state": "running", "active_state": "active"}


@pytest.mark.parametrize(
    ("early", "now", "known"),
    [
        ({**PAUSES, "restarts": 1}, {**RUNS, "restarts": 2}, True),
        ({**PAUSES, "restarts": 1}, {**PAUSES, "restarts": 2}, True),
        ({**PAUSES, "restarts": 1}, {**RUNS, "restarts": 3}, False),
        ({**PAUSES, "restarts": 1}, {**PAUSES, "restarts": 3}, False),
        ({**RUNS, "restarts": 1}, {**PAUSES, "restarts": 1}, True),
        ({**RUNS, "restarts": 1}, {**PAUSES, "restarts": 2}, False),
        ({**RUNS, "restarts": 1}, {**RUNS, "restarts": 2}, False),
        # Somebody started it in between.
        ({**RUNS, "restarts": 9}, {**PAUSES, "restarts": 0}, True),
        ({**PAUSES, "restarts": 9}, {**PAUSES, "restarts": 1}, False),
    ],
)
def test_an_end_that_a_look_met_is_one_whose_start_does_not_count_again(
    early: dict[str, object], now: dict[str, object], *, known: bool
) -> None:
    """A start is counted when the pause before it is over, not when it begins."""
    well = {"restart": "always", "result": "success", "invocation": "i1"}
    before, after = have(**{**well, **early}), have(**{**well, **now})

    found = verdict(want(), early=(before,), now=(after,))
    asked = to_ask_about(observed(before), observed(after))

    assert found == ([] if known else [(ProblemKind.RESTART_LOOP, BOT)])
    assert asked == (() if known else (BOT,))


def test_the_journal_is_asked_where_a_look_does_not_tell() -> None:
    def asked(**fields: object) -> bool:
        early = observed(have(restart="always", restarts=1))
        now = observed(have(**{"restart": "always", "restarts": 2, **fields}))
        return to_ask_about(early, now) == (BOT,)

    assert asked()
    assert not asked(restarts=1)
    assert not asked(restart="on-failure")
    assert not asked(**RETRIED, result="exit-code")


def test_a_pause_between_rounds_is_not_waited_for() -> None:
    pauses = observed(have(**RETRIED, result="success"))

    assert still_moving(desired(want()), pauses, before=NOTHING) == ()


# --- what may be down ------------------------------------------------------------


@pytest.mark.parametrize("now", [FAILED, STOPPED, STARTING, GONE])
def test_a_unit_that_may_fail_is_neither_judged_nor_waited_for(
    now: dict[str, object],
) -> None:
    unit, seen = want(may_fail=True), have(**now)

    assert verdict(unit, now=(seen,)) == []
    assert still_moving(desired(unit), observed(seen), before=NOTHING) == ()


def test_a_file_for_a_service_that_is_not_there_does_not_count() -> None:
    """It has settings, no command, and nobody wants it."""
    unit, seen = want(wanted=False), have(load_state="bad-setting", **STOPPED)
    was_up = Baseline(boot_id="b1", active=frozenset({BOT}))

    assert verdict(unit, now=(seen,)) == []
    assert verdict(unit, now=(seen,), before=was_up) == [(ProblemKind.FAILED, BOT)]
    assert verdict(want(triggered=True, wanted=False), now=(seen,)) == [
        (ProblemKind.FAILED, BOT)
    ]


JOB = want("backup.service", wanted=False, triggered=True)
AT_WORK = have(
    "backup.service", active_state="activating", type="oneshot", began_at=5.0
)


@pytest.mark.parametrize(
    ("left_at", "job", "what"),
    [
        (6.0, {}, None),
        (4.0, {}, ProblemKind.NOT_ACTIVE),  # before the job began
        (0.0, {}, ProblemKind.NOT_ACTIVE),  # it has not run yet
        (6.0, {"active_state": "inactive"}, ProblemKind.NOT_ACTIVE),
        (6.0, {"type": "simple"}, ProblemKind.NOT_ACTIVE),
    ],
)
def test_what_a_job_stopped_is_waited_for(
    left_at: float, job: dict[str, object], what: ProblemKind | None
) -> None:
    down = have(**STOPPED, left_at=left_at)
    at_work = dataclasses.replace(AT_WORK, **job)  # type: ignore[arg-type]

    found = verdict(want(), JOB, now=(down, at_work))

    assert found == ([] if what is None else [(what, BOT)])
    aim = desired(want(), JOB)
    moving = still_moving(aim, observed(down, at_work), before=NOTHING)
    assert moving == ((BOT,) if what is None else ())


@pytest.mark.parametrize(
    "was",
    [
        have(),
        have(**GONE),
        have(**STOPPED, condition_met=False),
        have(**STOPPED, finished=True),
        have(restarts=9, condition_at=1.0),  # it has run for long since
    ],
)
def test_what_was_healthy_counts(was: ObservedUnit) -> None:
    found = verdict(want(), now=(have(**FAILED),), before=baseline(was))

    assert found == [(ProblemKind.FAILED, BOT)]


# --- units that the commit does not declare --------------------------------------


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("/etc/systemd/system/dbus.service", True),
        ("/run/systemd/generator/mnt.mount", True),
        ("/usr/lib/systemd/system/dbus.service", True),
        ("/run/systemd/transient/run-u7.service", False),
        ("/run/systemd/system/mine.service", False),
        ("/etc/systemd/system.control/mine.service", False),
        ("", False),
    ],
)
def test_what_others_brought_must_not_fail_unless_people_did(
    path: str, *, counts: bool
) -> None:
    now = have(fragment_path=path, fragment=path, **FAILED)

    assert verdict(now=(now,)) == ([(ProblemKind.FAILED, BOT)] if counts else [])
    assert verdict(now=(dataclasses.replace(now, active_state="inactive"),)) == []


def test_what_others_brought_may_have_failed_before() -> None:
    now = have(**FAILED)

    assert verdict(now=(now,), before=baseline(now)) == []


# --- the host, keys, checks ------------------------------------------------------


def with_keys(*keys: DesiredKey, units: tuple[DesiredUnit, ...] = ()) -> Desired:
    return dataclasses.replace(desired(*units), keys={key.name: key for key in keys})


def key_problems(stands: ObservedKey | None, **fields: object) -> list[Problem]:
    now = observed(keys={PATH: stands} if stands else {})
    return list(
        judge(with_keys(KEY), before=NOTHING, early=now, now=now, **fields)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("stands", "text"),
    [
        (STANDS, None),
        (dataclasses.replace(STANDS, digest="another"), None),
        (None, "key bot: missing"),
        (ObservedKey(path=PATH, kind="symlink"), "key bot: symlink in its place"),
        (dataclasses.replace(STANDS, user="mara"), "key bot: mara:root 0600"),
        (dataclasses.replace(STANDS, digest=""), "key bot: cannot be read"),
    ],
)
def test_a_key_must_stand_where_it_should(
    stands: ObservedKey | None, text: str | None
) -> None:
    expected = [] if text is None else [Problem(what=ProblemKind.KEY, text=text)]

    assert key_problems(stands) == expected
    assert key_problems(stands, lost_keys={"bot"}) == []


def test_the_unit_of_a_key_waits_for_it_and_begins_anew_with_it() -> None:
    unit = want("bot-key.service")
    aim = with_keys(KEY, units=(unit,))
    early = have(unit.name, invocation="i1")
    now = have(unit.name, invocation="i2", restarts=1)
    stands = {PATH: STANDS}

    def judged(seen: ObservedUnit, keys: dict[str, ObservedKey]) -> list[ProblemKind]:
        look = observed(seen, keys=keys)
        first = observed(early, keys=keys)
        found = judge(aim, before=NOTHING, early=first, now=look)
        return [problem.what for problem in found]

    waiting = have(unit.name, **STARTING)
    assert judged(now, stands) == []
    assert judged(waiting, {}) == [ProblemKind.KEY]
    assert judged(waiting, stands) == [ProblemKind.NOT_ACTIVE]
    assert judged(have(unit.name, **FAILED), stands) == [ProblemKind.FAILED]
    assert still_moving(aim, observed(waiting), before=NOTHING) == ()
    assert still_moving(aim, observed(waiting, keys=stands), before=NOTHING) == (
        unit.name,
    )


@pytest.mark.parametrize(
    ("early", "now", "text"),
    [
        ({}, {"running": OLD}, f"{OLD} runs, not "),
        ({}, {"running": None}, "no NixOS system runs"),
        ({}, {"boot_id": "b2"}, "was booted while it was watched"),
    ],
)
def test_another_system_or_boot_hides_all_else(
    early: dict[str, object], now: dict[str, object], text: str
) -> None:
    (found,) = judge(
        desired(want()),
        before=NOTHING,
        early=observed(**early),
        now=observed(have(**FAILED), **now),
    )

    assert (found.what, found.unit) == (ProblemKind.SYSTEM, "")
    assert text in found.text


def test_a_host_may_be_booted_by_the_deployment_itself() -> None:
    look = observed(have(), boot_id="b2")

    assert judge(desired(want()), before=NOTHING, early=look, now=look) == ()


def test_declared_checks_must_pass() -> None:
    look = observed(have())
    passed = CheckResult(name="ssh", passed=True, seconds=1)
    failed = CheckResult(name="the web", passed=False, seconds=1, problem="it is 503")

    found = judge(
        desired(want()), before=NOTHING, early=look, now=look, checks=(failed, passed)
    )

    text = "health check the web: it is 503"
    assert found == (Problem(what=ProblemKind.CHECK, text=text),)


def test_problems_come_worst_first() -> None:
    wants = [want(f"{name}.service") for name in "abcd"]
    now = observed(
        have("a.service", **STOPPED),
        have("b.service", **RETRIED, result="exit-code"),
        have("c.service", **FAILED),
        have("d.service", **FAILED),
    )
    failed = CheckResult(name="x", passed=False, seconds=1, problem="y")

    found = judge(desired(*wants), before=NOTHING, early=now, now=now, checks=(failed,))

    units = ["c.service", "d.service", "b.service", "a.service", ""]
    assert [problem.unit for problem in found] == units


# --- on its way ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "seen", "moves"),
    [
        (want(), have(**STARTING), True),
        (want(), have(active_state="deactivating"), True),
        (want(), have(**RETRIED, result="exit-code"), True),
        (want(), have(), False),
        (want(), have(**STOPPED), False),
        (want(), have(**STOPPED, queued=True), True),
        (want(), have(**FAILED), False),
        (want(type="oneshot"), have(**STARTING), False),
        (want(wanted=False), have(**STARTING), False),
    ],
)
def test_what_is_still_moving(
    unit: DesiredUnit, seen: ObservedUnit, *, moves: bool
) -> None:
    found = still_moving(desired(unit), observed(seen), before=NOTHING)

    assert found == ((BOT,) if moves else ())


@pytest.mark.parametrize(
    ("seen", "restarts"),
    [
        (have(**STOPPED, queued=True), True),
        (have(active_state="deactivating", queued=True), True),
        (have(**STARTING, queued=True), True),
        (have(**STARTING), False),
        (have(**RETRIED, result="exit-code", queued=True), False),
    ],
)
def test_what_somebody_restarts(seen: ObservedUnit, *, restarts: bool) -> None:
    found = in_restart(desired(want()), observed(seen), before=NOTHING)

    assert found == ((BOT,) if restarts else ())


def test_what_hung_before_is_not_waited_for() -> None:
    hung = have(**STARTING)

    assert still_moving(desired(want()), observed(hung), before=baseline(hung)) == ()


def test_what_was_up_before_is_waited_for() -> None:
    unit = want(wanted=False)
    before = baseline(have(), wants=(unit,))

    assert still_moving(desired(unit), observed(have(**STARTING)), before=before) == (
        BOT,
    )


# --- the baseline ----------------------------------------------------------------


def test_a_baseline_holds_what_counts_and_no_more() -> None:
    looked: Observed = observed(
        have(),
        have("b.service", **STOPPED),  # declared, and need not be up
        have("c.service", **FAILED, drop_in_files=("/nix/store/d",)),  # not declared
        have("d.service"),  # not declared
    )

    found = Baseline.of(desired(want(), want("b.service", wanted=False)), looked)

    failed = UnitName("c.service")
    assert found == Baseline(
        boot_id="b1",
        active=frozenset({BOT}),
        broken={failed: (have("c.service").fragment, "/nix/store/d")},
        failed={failed: "exit-code"},
    )
    kept = dataclasses.replace(found, snippets=frozenset({"users", "etc"}))
    assert Baseline.from_json(kept.to_json()) == kept


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"boot_id": "b"}', "null"])
def test_other_text_is_no_baseline(text: str) -> None:
    with pytest.raises(StateError, match="before its switch"):
        Baseline.from_json(text)
