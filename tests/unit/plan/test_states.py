"""A unit that is loaded as it should be does what it should, or is put right."""

import pytest

from reconciler.model import DesiredUnit, DriftKind, Effect, ObservedUnit, Verdict
from reconciler.plan import active_units
from tests.unit.plan.samples import (
    BOT,
    FAILED,
    GONE,
    STOPPED,
    desired,
    have,
    observed,
    one,
    only_drift,
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
