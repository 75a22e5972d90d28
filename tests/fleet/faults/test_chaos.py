"""The longer form of the fault suite runs, from a seed, and ends with the counts."""

import subprocess
import sys

import pytest

from reconciler.attempt.limits import ARM_SECONDS
from tests.chaos.draw import FROZEN, Draw
from tests.support.faults.checker import Ends
from tests.support.rig import ROOT

NAMES = ["one", "another"]


def test_a_trial_is_the_same_whenever_it_is_drawn() -> None:
    drawn = [Draw.of(7, number, NAMES) for number in range(50)]

    assert drawn == [Draw.of(7, number, NAMES) for number in range(50)]
    assert len({one.at for one in drawn}) == len(drawn)
    assert {one.fault for one in drawn} == set(NAMES)


def test_freezes_last_from_a_second_to_twice_the_longest_deadline() -> None:
    drawn = [Draw.of(7, number, [FROZEN]) for number in range(500)]

    lasts = sorted(one.lasts for one in drawn)
    assert 1.0 <= lasts[0] < 1.1
    assert 1.8 * ARM_SECONDS < lasts[-1] <= 2 * ARM_SECONDS
    assert {one.ends for one in drawn if not one.release} == {Ends.NEW, Ends.EITHER}


@pytest.mark.usefixtures("reaper")
@pytest.mark.matrix
def test_it_ends_with_the_counts(fleet: object) -> None:
    assert fleet, "root is needed"
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--seed", "182", "--trials", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=380,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    first, *_, total, last = done.stdout.splitlines()
    assert first == "seed 182: 2 trials"
    assert total.split() == ["2", "2", "all"]
    assert last == "seeds 182: 0 broken"
