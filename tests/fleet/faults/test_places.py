"""Disks that fill up or fail, and clocks that jump, while a host is deployed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model import Outcome
from tests.support.faults import injectors as faults
from tests.support.faults.checker import Ends
from tests.support.faults.disk import StateDisk, state_disk
from tests.support.faults.moments import STEPS
from tests.support.faults.releases import HOST
from tests.support.faults.survey import survey
from tests.support.faults.trial import PATIENT, Trial, faulty_rig, struck
from tests.support.fleet import FleetFactory, Reaper
from tests.support.rig import Rig
from tests.support.wait import wait_until

DAY = 86400
LARGE = """
  environment.etc.large.source = pkgs.runCommand "large" { } ''
    head -c 60000000 /dev/urandom >$out
  '';"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the rig is."""
    return tmp_path_factory.mktemp("rig")


@pytest.fixture(scope="module")
def disk(folder: Path, reaper: Reaper) -> Iterator[StateDisk]:
    """Give the state of the daemon a disk of its own."""
    with state_disk(folder / "state", reaper) as disk:
        yield disk


@pytest.fixture(scope="module")
def rig(folder: Path, disk: StateDisk, module_fleet: FleetFactory) -> Iterator[Rig]:
    """One host, whose store has a disk of its own, too."""
    assert disk.folder == folder / "state"
    fleet = module_fleet(HOST, options=["--nix-size", "200M"])
    with faulty_rig(folder, fleet, {**PATIENT, "min_free": "1M"}) as rig:
        yield rig


# --- disks -----------------------------------------------------------------------


def test_the_store_fills_up_during_the_copy(trial: Trial) -> None:
    with struck(trial.rig, faults.StoreFillsUp("large")):
        trial.push(LARGE)
        trial.rig.wait_error(HOST, "No space left on device")
        trial.check_boot_default()

    first, *_ = trial.check(Ends.NEW)
    assert first.outcome is Outcome.FAILED


@pytest.mark.parametrize("step", STEPS)
def test_the_state_directory_fills_up(trial: Trial, disk: StateDisk, step: str) -> None:
    trial.push()
    trial.watch.begins(step)

    with struck(trial.rig, faults.StateFull(disk)):
        trial.check_alone()
        assert trial.rig.daemon is not None
        assert trial.rig.daemon.poll() is None

    trial.check(Ends.NEW)


@pytest.mark.parametrize("step", STEPS)
def test_the_disk_of_the_state_fails(trial: Trial, disk: StateDisk, step: str) -> None:
    """It is read-only from one moment to the next, until somebody repairs it."""
    rig = trial.rig
    trial.push()
    trial.watch.begins(step)

    with struck(rig, faults.StateFails(disk)):
        wait_until(lambda: not is_guarded(rig), 60, "the guardian to end")
        assert survey(rig.host(HOST)).whole() == []
        assert rig.daemon is not None
        assert rig.daemon.poll() is None, "it is to go on looking at its hosts"

    trial.check(Ends.NEW)


def is_guarded(rig: Rig) -> bool:
    """Whether a guardian is at work."""
    return survey(rig.host(HOST)).guarded


def test_a_daemon_says_that_it_cannot_write_its_state(
    trial: Trial, disk: StateDisk
) -> None:
    trial.rig.stop_daemon()
    disk.fail()

    told = trial.rig.run("run", status=1).stderr

    disk.repair()
    assert str(disk.folder) in told
    assert "cannot be opened" in told
    trial.rig.run_daemon()


# --- clocks ----------------------------------------------------------------------


@pytest.fixture
def clock(rig: Rig) -> Iterator[faults.Clock]:
    """Give the daemon a clock that can be set."""
    clock = faults.Clock(rig.folder / "offset")
    clock.set(0)
    rig.stop_daemon()
    rig.run_daemon(f"clock={clock.path}")
    yield clock
    rig.stop_daemon(kill=True)
    rig.run_daemon()


@pytest.mark.parametrize("step", STEPS)
def test_the_clock_jumps_ahead(trial: Trial, clock: faults.Clock, step: str) -> None:
    check_jump(trial, clock, step, DAY)


@pytest.mark.parametrize("step", STEPS)
def test_the_clock_jumps_back(trial: Trial, clock: faults.Clock, step: str) -> None:
    check_jump(trial, clock, step, -DAY)


def check_jump(trial: Trial, clock: faults.Clock, step: str, seconds: int) -> None:
    """Set the daemon's clock at *step*; nothing is to come of it."""
    trial.push()
    trial.watch.begins(step)

    clock.set(seconds)

    (attempt,) = trial.check(Ends.NEW)
    assert attempt.outcome is Outcome.SUCCEEDED
    assert sum(one.seconds for one in attempt.steps) < 60.0


def test_a_clock_that_is_set_back_makes_nobody_wait(
    trial: Trial, clock: faults.Clock
) -> None:
    """What failed is tried again after seconds, and not after a day."""
    with struck(trial.rig, faults.StoreFillsUp("larger")):
        trial.push(LARGE.replace("large", "larger"))
        trial.rig.wait_error(HOST, "No space left on device")
        clock.set(-DAY)

    trial.check(Ends.NEW)
