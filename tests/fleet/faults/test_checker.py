"""The checker of the fault suite finds fault with protocols that are wrong."""

from collections.abc import Iterator

import pytest

from tests.support.faults import checker
from tests.support.faults import injectors as faults
from tests.support.faults.checker import Complaint, Ends
from tests.support.faults.daemon import WRONG
from tests.support.faults.releases import BAD, HOST
from tests.support.faults.trial import HASTY, Trial
from tests.support.rig import Rig

POLICY = HASTY

SOON = 12.0  # seconds; a host that is wrong by then stays so


@pytest.fixture
def trial(rig: Rig) -> Iterator[Trial]:
    """Begin with a sound host and no daemon; have the right one make it sound again."""
    trial = Trial(rig)
    rig.stop_daemon()
    yield trial
    rig.stop_daemon(kill=True)
    rig.run_daemon()
    trial.push()
    rig.wait_in_sync(HOST)


def run_wrong(trial: Trial, wrong: str) -> None:
    """Start a daemon that is wrong in that way."""
    trial.rig.run_daemon(f"wrong={wrong}")


def test_each_wrong_protocol_is_tried() -> None:
    assert set(WRONG) == {"confirm before health", "boot default first", "no guardian"}


def test_confirming_before_health(trial: Trial) -> None:
    run_wrong(trial, "confirm before health")
    trial.push(BAD["a service fails after a while"])
    trial.watch.ends("confirm")

    with pytest.raises(Complaint) as told:
        checker.check_settled(trial.rig, trial.before, Ends.OLD, within=SOON)

    assert "instead of what ran before" in str(told.value)


def test_setting_the_boot_default_first(trial: Trial) -> None:
    run_wrong(trial, "boot default first")
    trial.push()
    trial.watch.begins("settle")

    with pytest.raises(Complaint) as told:
        trial.check_boot_default()

    assert "which nobody confirmed" in str(told.value)


def test_a_host_without_a_guardian(trial: Trial) -> None:
    run_wrong(trial, "no guardian")
    trial.push()
    trial.watch.begins("settle")
    faults.ReconcilerKilled().strike(trial.rig)

    with pytest.raises(Complaint) as told:
        checker.check_alone(trial.rig, trial.before, within=SOON)

    assert "a guardian is at work" in str(told.value)
    assert "neither confirmed nor rolled back" in str(told.value)
