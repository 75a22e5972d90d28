"""Releases as people push them, good ones that look odd, and ones that cut us off."""

import pytest

from reconciler.model import Outcome
from tests.support.faults.checker import Ends
from tests.support.faults.trial import HASTY, Trial
from tests.support.faults.usual import CUT_OFF, USUAL

POLICY = HASTY


@pytest.mark.parametrize("nix", USUAL.values(), ids=USUAL)
def test_what_is_usual_is_kept(trial: Trial, nix: str) -> None:
    trial.push(nix)

    made = trial.check(Ends.NEW)
    told = [f"{one.outcome}: {one.message}" for one in made]
    assert [one.outcome for one in made] == [Outcome.SUCCEEDED], told


@pytest.mark.parametrize("nix", CUT_OFF.values(), ids=CUT_OFF)
def test_what_cuts_us_off_is_gone_back_from(trial: Trial, nix: str) -> None:
    trial.push(nix)

    made = trial.check(Ends.OLD)
    assert made[-1].outcome is Outcome.ROLLED_BACK
    assert made[-1].message
