"""Releases that a host must not be left on: it ends on the one before, whole."""

import pytest

from reconciler.model import Outcome
from tests.support.faults import injectors as faults
from tests.support.faults.checker import Ends
from tests.support.faults.releases import BAD, HOST, ODD
from tests.support.faults.survey import survey
from tests.support.faults.trial import HASTY, Trial, struck
from tests.support.rig import Rig

POLICY = HASTY


@pytest.mark.parametrize("nix", BAD.values(), ids=BAD)
def test_a_bad_release_is_gone_back_from(rig: Rig, nix: str) -> None:
    trial = Trial(rig)

    trial.push(nix)

    made = trial.check(Ends.OLD)
    assert all(one.outcome is not Outcome.SUCCEEDED for one in made)
    assert made[-1].message


@pytest.mark.parametrize("nix", ODD.values(), ids=ODD)
def test_a_release_that_only_looks_bad_is_kept(rig: Rig, nix: str) -> None:
    trial = Trial(rig)

    trial.push(nix)

    (attempt,) = trial.check(Ends.NEW)
    assert attempt.outcome is Outcome.SUCCEEDED


def test_the_power_is_cut_while_a_bad_release_is_switched_to(rig: Rig) -> None:
    """The old system's key is gone with the boot, and its services wait for it."""
    trial = Trial(rig)
    trial.push(BAD["the switch hangs at once"])
    trial.watch.begins("activate")

    with struck(rig, faults.PowerCut()):
        pass

    trial.check(Ends.OLD)


def test_what_is_in_quarantine_is_not_switched_to_again(rig: Rig) -> None:
    trial = Trial(rig)
    trial.push(BAD["a service fails at once"])
    trial.check(Ends.OLD)
    before = survey(rig.host(HOST)).activations()

    rig.stop_daemon(kill=True)
    rig.run_daemon()
    rig.repository.push("Nothing that matters to the host")

    trial.check(Ends.OLD)
    assert survey(rig.host(HOST)).activations() == before
