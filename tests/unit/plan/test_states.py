"""A unit that is loaded as it should be does what it should, or is put right."""

import pytest

from reconciler.model import (
    DesiredUnit,
    DriftKind,
    Effect,
    Heal,
    ObservedUnit,
    Policy,
    UnitName,
    Verdict,
)
from reconciler.plan import active_units, plan
from tests.unit.plan.samples import (
    BOT,
    FAILED,
    GONE,
    KNOWN,
    STOPPED,
    desired,
    have,
    observed,
    one,
    only_drift,
    plan_of,
    steps,
    told,
    want,
)

JOB = {"type": "oneshot"}
RETRYING = {"active_state": "activating", "sub_state": "auto-restart"}


@pytest.mark.parametrize(
    ("unit", "seen"),
    [
        pytest.param(want(), have(), id="active"),
        pytest.param(want(), have(active_state="reloading"), id="reloading"),
        pytest.param(want(), have(active_state="refreshing"), id="refreshing"),
        pytest.param(want(), have(active_state="activating"), id="on its way up"),
        pytest.param(want(), have(active_state="deactivating"), id="on its way down"),
        pytest.param(
            want(wanted=False),
            have(load_state="bad-setting", **STOPPED),
            id="no more than a file",
        ),
        pytest.param(
            want(), have(**STOPPED, displaced=True), id="what conflicts with it runs"
        ),
        pytest.param(
            want(), have(**STOPPED, type="oneshot"), id="systemd says: a job that ended"
        ),
        pytest.param(
            want(),
            have(**STOPPED, type="simple", triggered_by=("a.timer",)),
            id="systemd says: its timer starts it",
        ),
        pytest.param(
            want(), have(**RETRYING, result="success"), id="ended well, to be restarted"
        ),
        pytest.param(want(wanted=False), have(**STOPPED), id="nobody wants it"),
        pytest.param(want(wanted=False), have(), id="nobody wants it, but it runs"),
        pytest.param(want(**JOB), have(**STOPPED), id="a job that ended"),
        pytest.param(want(triggered=True), have(**STOPPED), id="waits for its socket"),
        pytest.param(
            want(), have(**STOPPED, condition_met=False), id="condition was unmet"
        ),
        pytest.param(
            want("web.slice"), have("web.slice", **STOPPED), id="a slice without units"
        ),
        pytest.param(
            want("rescue.target", only_manual=True),
            have("rescue.target", **STOPPED),
            id="a target only for its dependents",
        ),
        pytest.param(want("w@.service"), have("w@.service", **GONE), id="a template"),
    ],
)
def test_as_it_should_be(unit: DesiredUnit, seen: ObservedUnit) -> None:
    made = one(unit, seen)

    assert (made.verdict, told(made)) == (Verdict.CONVERGED, [])


@pytest.mark.parametrize(
    ("unit", "seen"),
    [
        pytest.param(want(), have(**STOPPED), id="a service"),
        pytest.param(
            want(**JOB, remain_after_exit=True),
            have(**STOPPED),
            id="it remains",
        ),
        pytest.param(
            want(),
            have(**STOPPED, condition_met=False, condition_at=0.0),
            id="condition never checked",
        ),
        pytest.param(
            want(wanted=False),
            have(**STOPPED, type="simple", wanted=True, on_bus=True),
            id="systemd says: wanted at boot",
        ),
        pytest.param(
            want(type="oneshot"),
            have(**STOPPED, type="oneshot", remain_after_exit=True),
            id="systemd says: it remains",
        ),
        pytest.param(want("a.timer"), have("a.timer", **STOPPED), id="a timer"),
        pytest.param(want("a.socket"), have("a.socket", **STOPPED), id="a socket"),
        pytest.param(want("a.path"), have("a.path", **STOPPED), id="a path"),
        pytest.param(want("a.mount"), have("a.mount", **STOPPED), id="a mount"),
        pytest.param(want("a.swap"), have("a.swap", **STOPPED), id="swap"),
        pytest.param(want("a.target"), have("a.target", **STOPPED), id="a target"),
        pytest.param(
            want(restart_if_changed=False), have(**STOPPED), id="restartIfChanged=false"
        ),
    ],
)
def test_stopped_is_started(unit: DesiredUnit, seen: ObservedUnit) -> None:
    made = one(unit, seen)

    assert told(made) == [(DriftKind.UNIT_STOPPED, unit.name, Effect.START)]
    assert steps(made) == [f"start {unit.name}"]
    assert made.verdict is Verdict.HEAL


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(want(), id="wanted"),
        pytest.param(want(**JOB), id="a wanted job"),
        pytest.param(want(triggered=True), id="wanted and triggered"),
        pytest.param(want(wanted=False), id="somebody started it"),
    ],
)
@pytest.mark.parametrize("result", ["exit-code", "start-limit-hit", "timeout"])
def test_failed_is_restarted(unit: DesiredUnit, result: str) -> None:
    made = one(unit, have(**{**FAILED, "result": result}))

    assert told(made) == [(DriftKind.UNIT_FAILED, BOT, Effect.RESTART)]
    assert steps(made) == [f"restart {BOT}"]
    assert result in only_drift(made).observed


@pytest.mark.parametrize(
    ("unit", "seen"),
    [
        pytest.param(
            want(), have(**RETRYING, result="exit-code", restarts=7), id="retried"
        ),
        pytest.param(
            want(),
            have(**{**RETRYING, "sub_state": "auto-restart-queued"}, result="signal"),
            id="retry queued",
        ),
        pytest.param(
            want(wanted=False, triggered=True), have(**FAILED), id="its timer retries"
        ),
        pytest.param(
            want(wanted=False, **JOB), have(**FAILED), id="a job that nobody asks for"
        ),
        pytest.param(want(only_manual=True), have(**FAILED), id="only by hand"),
        pytest.param(
            want(), have(load_state="bad-setting", **STOPPED), id="cannot be loaded"
        ),
        pytest.param(
            want(), have(load_state="error", **FAILED), id="an error while loading"
        ),
    ],
)
def test_failed_and_left_to_others_is_told(
    unit: DesiredUnit, seen: ObservedUnit
) -> None:
    made = one(unit, seen)

    assert told(made) == [(DriftKind.UNIT_FAILED, BOT, Effect.NONE)]
    assert (made.verdict, made.steps) == (Verdict.REPORTED, ())
    assert BOT in made.reason


def test_a_stopped_unit_that_systemd_would_refuse_to_start_is_told() -> None:
    made = one(want(only_manual=True), have(**STOPPED))

    assert told(made) == [(DriftKind.UNIT_STOPPED, BOT, Effect.NONE)]
    assert made.verdict is Verdict.REPORTED


def test_a_service_that_did_its_work_is_told_and_not_run_again() -> None:
    made = one(want(), have(**STOPPED, finished=True))

    (drift,) = made.drifts
    assert (drift.kind, drift.lasting) == (DriftKind.UNIT_STOPPED, True)
    assert (made.verdict, steps(made)) == (Verdict.CONVERGED, [])


@pytest.mark.parametrize(
    ("unit", "seen", "counts"),
    [
        pytest.param(want(), have(), (1, 1), id="active"),
        pytest.param(want(), have(active_state="reloading"), (1, 1), id="reloading"),
        pytest.param(want(), have(active_state="activating"), (1, 0), id="starting"),
        pytest.param(want(), have(**STOPPED), (1, 0), id="stopped"),
        pytest.param(want(), have(**STOPPED, finished=True), (0, 0), id="done"),
        pytest.param(want(), have(**FAILED), (1, 0), id="failed"),
        pytest.param(want(), have(**GONE), (1, 0), id="missing"),
        pytest.param(want(), have("x.service"), (1, 0), id="not seen"),
        pytest.param(want(wanted=False), have(), (0, 0), id="active, not wanted"),
        pytest.param(want(path=None), have(), (0, 0), id="masked by the commit"),
        pytest.param(want(**JOB), have(), (0, 0), id="a job"),
        pytest.param(
            want(), have(**STOPPED, condition_met=False), (0, 0), id="condition unmet"
        ),
        pytest.param(
            want(), have(condition_met=False), (1, 1), id="active all the same"
        ),
    ],
)
def test_active_units(
    unit: DesiredUnit, seen: ObservedUnit, counts: tuple[int, int]
) -> None:
    assert active_units(desired(unit), observed(seen)) == counts


# --- what only a package brings ------------------------------------------------------

PACKAGED = {
    "fragment": f"/nix/store/{'p' * 32}-udev-1/lib/systemd/system/{BOT}",
    "wanted": True,
    "type": "simple",
}
MASK = f"/etc/systemd/system.control/{BOT}"


@pytest.mark.parametrize(
    ("seen", "kind", "done"),
    [
        pytest.param(have(**PACKAGED), None, [], id="up"),
        pytest.param(
            have(**PACKAGED, **STOPPED),
            DriftKind.UNIT_STOPPED,
            [f"start {BOT}"],
            id="stopped",
        ),
        pytest.param(
            have(**PACKAGED, **FAILED),
            DriftKind.UNIT_FAILED,
            [f"restart {BOT}"],
            id="failed",
        ),
        pytest.param(
            have(
                **{**PACKAGED, "fragment": "/dev/null"},
                **STOPPED,
                fragment_path=MASK,
                load_state="masked",
                beneath=PACKAGED["fragment"],
            ),
            DriftKind.UNIT_OVERRIDDEN,
            [f"unmask {BOT}", f"start {BOT}"],
            id="masked by hand",
        ),
        pytest.param(
            have(**{**PACKAGED, "type": "oneshot"}, **STOPPED), None, [], id="a job"
        ),
        pytest.param(
            have(**{**PACKAGED, "wanted": False}, **STOPPED), None, [], id="not wanted"
        ),
        pytest.param(
            have(**PACKAGED, **STOPPED, fragment_path=f"/usr/lib/systemd/system/{BOT}"),
            None,
            [],
            id="not of a NixOS",
        ),
        pytest.param(
            have(**PACKAGED, **STOPPED, condition_met=False), None, [], id="unmet"
        ),
    ],
)
def test_a_unit_of_a_package(
    seen: ObservedUnit, kind: DriftKind | None, done: list[str]
) -> None:
    made = one(want("other.service"), have("other.service"), seen)

    assert [drift.kind for drift in made.drifts] == ([kind] if kind else [])
    assert steps(made) == done


# --- what is left alone --------------------------------------------------------------

BACKUP = want("backup.service", wanted=False)
AT_WORK = have(
    "backup.service", active_state="activating", type="oneshot", began_at=5.0
)


@pytest.mark.parametrize(
    ("rule", "seen", "done"),
    [
        ({"heal": Heal.NOTHING}, STOPPED, []),
        ({"heal": Heal.NOTHING}, FAILED, []),
        ({"heal": Heal.RESTART_ONLY}, STOPPED, []),
        ({"heal": Heal.RESTART_ONLY}, FAILED, [f"restart {BOT}"]),
        ({"may_fail": True}, STOPPED, []),
        ({"may_fail": True}, FAILED, []),
    ],
)
def test_a_rule_says_what_is_left_alone(
    rule: dict[str, object], seen: dict[str, object], done: list[str]
) -> None:
    made = one(want(**rule), have(**seen))

    assert steps(made) == done
    assert only_drift(made).lasting is (not done)
    assert only_drift(made).subject == BOT


def test_the_policy_wins_over_what_the_commit_says_of_a_unit() -> None:
    seen = observed(have(**STOPPED), have("udev.service", **{**PACKAGED, **STOPPED}))
    aim = desired(want())

    def done(**units: Heal) -> list[str]:
        rules = {UnitName(f"{name}.service"): heal for name, heal in units.items()}
        return steps(plan(aim, seen, known=KNOWN, policy=Policy(units=rules)))

    assert done() == ["start udev.service", f"start {BOT}"]
    assert done(withinbot=Heal.NOTHING) == ["start udev.service"]
    assert done(withinbot=Heal.RESTART_ONLY, udev=Heal.NOTHING) == []


def test_what_a_job_stopped_is_left_until_it_ends() -> None:
    down = have(**STOPPED, left_at=6.0)

    made = plan_of([want(), BACKUP], observed(down, AT_WORK))
    assert (made.verdict, steps(made)) == (Verdict.CONVERGED, [])
    assert "left until backup.service ends" in only_drift(made).observed

    ended = have("backup.service", **STOPPED, type="oneshot", began_at=5.0)
    made = plan_of([want(), BACKUP], observed(down, ended))
    assert steps(made) == [f"start {BOT}"]

    failed = have(**FAILED, left_at=6.0)
    made = plan_of([want(), BACKUP], observed(failed, AT_WORK))
    assert steps(made) == [f"restart {BOT}"]


def test_a_job_that_began_later_has_not_stopped_it() -> None:
    made = plan_of([want(), BACKUP], observed(have(**STOPPED, left_at=4.0), AT_WORK))

    assert steps(made) == [f"start {BOT}"]
