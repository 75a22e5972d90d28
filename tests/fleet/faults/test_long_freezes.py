"""
A host that says nothing for longer than anybody waits for it.

A good release may be rolled back then by the host itself; it is tried again, and the
host ends on it. No attempt is given up while something of it may go on.
"""

import random

import pytest

from reconciler.apply.guardian import ANSWER_SECONDS
from reconciler.attempt.guarded_switch import AWAY, SLICE
from tests.support.faults import injectors as faults
from tests.support.faults.checker import ALONE, Ends, check_settled
from tests.support.faults.trial import PATIENT, Trial, struck

pytestmark = [pytest.mark.timeout(900), pytest.mark.matrix]

POLICY = PATIENT
LONGEST = max(AWAY, SLICE + ANSWER_SECONDS, 30.0)  # seconds; 30: `confirm_timeout`
DRAWN = random.Random("freezes")  # noqa: S311 # the same each time
CASES = [
    pytest.param(step, seconds, id=f"{step}, {seconds:.0f} s")
    for step in ("copy", "guard", "deliver keys", "activate", "settle", "confirm")
    for seconds in (DRAWN.uniform(1.0, LONGEST), DRAWN.uniform(LONGEST, 2 * LONGEST))
]


@pytest.mark.parametrize(("step", "seconds"), CASES)
def test_at_a_step(trial: Trial, step: str, seconds: float) -> None:
    trial.push()
    trial.watch.begins(step)

    with struck(trial.rig, faults.Frozen(seconds)):
        pass

    made = check_settled(trial.rig, trial.before, Ends.NEW, within=ALONE)
    assert all(one.outcome is not None for one in made)
