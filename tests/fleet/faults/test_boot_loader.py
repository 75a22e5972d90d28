"""What a host boots cannot be set: it boots what it booted, and it is tried again."""

import pytest

from reconciler.model import Outcome
from tests.support.faults.checker import Ends
from tests.support.faults.injectors import BootFull, BootReadOnly, Fault
from tests.support.faults.releases import HALF_WAY, HOST
from tests.support.faults.survey import survey
from tests.support.faults.trial import PATIENT, Trial, struck

pytestmark = pytest.mark.timeout(600)

POLICY = PATIENT
TOLD = "what to boot could not be set"


@pytest.mark.parametrize(
    "fault", [BootFull(), BootReadOnly()], ids=["full", "read-only"]
)
def test_boot_takes_nothing(trial: Trial, fault: Fault) -> None:
    with struck(trial.rig, fault):
        trial.push()
        trial.rig.wait_error(HOST, TOLD)
        trial.check_boot_default()
        found = survey(trial.rig.host(HOST))
        assert found.boots == (trial.before.running,) * 2
        assert found.running != trial.before.running, "it was healthy, and goes on"

    first, *_, last = trial.check(Ends.NEW)
    assert first.outcome is Outcome.FAILED
    assert last.outcome is Outcome.SUCCEEDED


def test_the_program_fails_half_way(trial: Trial) -> None:
    """It leaves nothing that boots; the one of the system before has its turn."""
    trial.push(HALF_WAY)
    trial.rig.wait_error(HOST, TOLD)
    trial.check_boot_default()
    assert survey(trial.rig.host(HOST)).boots == (trial.before.running,) * 2

    trial.push()

    *_, last = trial.check(Ends.NEW)
    assert last.outcome is Outcome.SUCCEEDED
