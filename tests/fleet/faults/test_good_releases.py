"""
A fault at each step of deploying a good release: the host ends on it, all by itself.

What each step is: ``tests/support/faults/moments.py``. What is promised:
``tests/support/faults/checker.py``.
"""

import itertools

import pytest

from reconciler.model import Outcome, Reason
from tests.support.faults import injectors as faults
from tests.support.faults.checker import Ends
from tests.support.faults.injectors import FAULTS
from tests.support.faults.moments import STEPS
from tests.support.faults.releases import HOST, SLOW_TO_STOP
from tests.support.faults.trial import PATIENT, Trial, struck

POLICY = PATIENT


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        pytest.param(fault, step, id=f"{name}, {step}")
        for (name, fault), step in itertools.product(FAULTS.items(), STEPS)
    ],
)
def test_at_a_step_of_the_reconciler(
    trial: Trial, fault: faults.Fault, step: str
) -> None:
    trial.push()
    trial.watch.begins(step)
    trial.check_boot_default()

    with struck(trial.rig, fault):
        pass

    trial.check(Ends.NEW)


@pytest.mark.parametrize("whom", ["main", "all"])
@pytest.mark.parametrize("phase", ["armed", "switching", "waiting", "confirming"])
def test_the_guardian_is_killed(trial: Trial, phase: str, whom: str) -> None:
    """With what comes after it, too; then the reconciler sees to the host."""
    trial.push()

    trial.watch.phase(phase, then=faults.GuardianKilled(whom).command)

    first, *_ = trial.check(Ends.NEW)
    if phase == "waiting":
        assert first.outcome is Outcome.ROLLED_BACK
        assert first.reason is not Reason.UNHEALTHY, "the release is not to blame"


def test_nothing_is_begun_while_somebody_else_switches(trial: Trial) -> None:
    with struck(trial.rig, faults.SomebodySwitches()):
        trial.push()
        trial.rig.wait_error(HOST, "somebody is switching this host")

    (attempt,) = trial.check(Ends.NEW)
    assert attempt.outcome is Outcome.SUCCEEDED


def test_somebody_else_is_quicker(trial: Trial) -> None:
    trial.push('system.extraSystemBuilderCmds = "sleep 1";')
    trial.watch.begins("build")

    with struck(trial.rig, faults.SomebodySwitches()):
        trial.rig.wait_error(HOST, "somebody else is switching")

    first, *_ = trial.check(Ends.NEW)
    assert first.outcome is Outcome.FAILED


@pytest.mark.parametrize("step", STEPS[:-1])
def test_the_reconciler_stays_away(trial: Trial, step: str) -> None:
    trial.push()
    trial.watch.begins(step)

    with struck(trial.rig, faults.ReconcilerKilled()):
        found = trial.check_alone()
        assert found.running == trial.before.running

    trial.check(Ends.NEW)


def test_a_service_stops_for_its_key_while_the_switch_looks(trial: Trial) -> None:
    """A switch would leave it alone, and it would start as it was defined before."""
    first = trial.push(SLOW_TO_STOP)
    trial.check(Ends.NEW)
    trial = Trial(trial.rig)
    trial.push(SLOW_TO_STOP)

    (attempt,) = trial.check(Ends.NEW)

    assert attempt.outcome is Outcome.SUCCEEDED
    host = trial.rig.host(HOST)
    for unit in ("left-alone", "only-reloaded"):
        pid = host.exec("systemctl", "show", "-p", "MainPID", "--value", unit)
        environment = host.exec("cat", f"/proc/{pid.strip()}/environ").split("\0")
        assert f"RELEASE={first.name}" in environment, f"{unit}: so its owner wants it"


def test_another_commit_in_quick_succession(trial: Trial) -> None:
    trial.push()
    trial.watch.begins("activate")

    trial.push()

    first, *_, last = trial.check(Ends.NEW)
    assert first.outcome is not None
    assert last.commit == trial.rig.repository.head


def test_a_force_push_that_takes_the_commit_back(trial: Trial) -> None:
    rig = trial.rig
    before = rig.repository.head
    trial.push()
    trial.watch.begins("activate")

    rig.repository.git("reset", "-q", "--hard", before)
    rig.repository.git("push", "-q", "--force", "origin", "HEAD:main")

    trial.check(Ends.BACK)


def test_a_revert_while_nobody_looks(trial: Trial) -> None:
    rig = trial.rig
    trial.push()
    trial.watch.begins("settle")

    with struck(rig, faults.ReconcilerKilled()):
        rig.repository.git("revert", "--no-edit", "HEAD")
        rig.push("Take it back")

    made = trial.check(Ends.BACK)
    assert made[0].outcome is not None


def test_a_guardian_that_is_stopped_goes_back_nevertheless(trial: Trial) -> None:
    """What goes back starts targets, which must not wait for the unit that does it."""
    trial.push()
    trial.watch.phase("waiting", then=f"systemctl stop --no-block {faults.UNIT}")

    made = trial.check(Ends.NEW)

    assert made[0].reason is Reason.GUARDIAN
