"""Releases that are not to be switched to, and say so: the host is left as it is."""

import pytest

from reconciler.model import Outcome
from tests.support.faults.checker import Ends
from tests.support.faults.releases import HOST, REFUSED
from tests.support.faults.survey import survey
from tests.support.faults.trial import HASTY, Trial

pytestmark = pytest.mark.timeout(600)

POLICY = HASTY


@pytest.mark.parametrize("nix", REFUSED.values(), ids=REFUSED)
def test_it_leaves_the_host_as_it_is(trial: Trial, nix: str) -> None:
    """Nothing is activated, neither the new system nor the old one once more."""
    rig = trial.rig
    service = rig.invocation(HOST, "withinbot")
    activations = survey(rig.host(HOST)).activations()

    trial.push(nix)

    rig.wait_error(HOST, "a reboot")
    made = trial.check(Ends.KEPT)
    assert all(one.outcome is Outcome.FAILED for one in made)
    assert survey(rig.host(HOST)).activations() == activations
    if "preSwitchChecks" in nix:
        assert "Not before noon" in made[-1].message
        assert rig.invocation(HOST, "withinbot") == service, "it kept its key"
