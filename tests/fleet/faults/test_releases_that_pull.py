"""Good releases that pull at what a deployment stands on: a host ends on them."""

import pytest

from reconciler.model import Outcome
from tests.support.faults.checker import Ends
from tests.support.faults.releases import GOOD
from tests.support.faults.trial import PATIENT, Trial

pytestmark = pytest.mark.timeout(600)

POLICY = PATIENT


@pytest.mark.parametrize("nix", GOOD.values(), ids=GOOD)
def test_it_is_kept(trial: Trial, nix: str) -> None:
    """While systemd is executed anew it answers nobody, and that says nothing."""
    trial.push(nix)

    (attempt,) = trial.check(Ends.NEW)
    assert attempt.outcome is Outcome.SUCCEEDED
