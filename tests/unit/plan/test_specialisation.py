"""A host that runs a specialisation of its system."""

import dataclasses

import pytest

from reconciler.model import (
    Known,
    Observed,
    Policy,
    Reboot,
    Specialisation,
    StorePath,
    SystemParts,
    Verdict,
)
from reconciler.plan import active_units, plan, runs, summary_lines
from tests.unit.plan.samples import (
    KNOWN,
    NEW,
    OLD,
    STOPPED,
    desired,
    have,
    observed,
    only_drift,
    steps,
    want,
)

QUIET = StorePath("/nix/store/qu1etqu1etqu1etqu1etqu1etqu1et00-nixos-system-lufta")
CHOSEN = observed(have(**STOPPED), running=QUIET, specialisation="quiet")
BASE = Policy(specialisation=Specialisation.BASE)
KERNELS = {
    "running_parts": SystemParts(kernel="/nix/store/new-linux"),
    "booted_parts": SystemParts(kernel="/nix/store/old-linux"),
}


@pytest.mark.parametrize("applied", [NEW, OLD, None])
def test_it_is_in_sync_and_named_and_its_units_are_its_own(
    applied: StorePath | None,
) -> None:
    known = dataclasses.replace(KNOWN, applied=applied)

    made = plan(desired(want()), CHOSEN, known=known, policy=Policy())

    assert (made.verdict, made.steps) == (Verdict.CONVERGED, ())
    assert not only_drift(made).is_open
    (line,) = summary_lines(made)
    assert "specialisation quiet" in line.what
    assert line.effect == ""
    assert active_units(desired(want()), CHOSEN) == (0, 0)
    assert runs(desired(want()), CHOSEN)


def test_the_base_where_the_policy_says_so() -> None:
    made = plan(desired(want()), CHOSEN, known=KNOWN, policy=BASE)

    assert made.verdict is Verdict.HEAL
    assert "activate" in steps(made)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(
            dataclasses.replace(CHOSEN, profile=OLD), id="of the system before"
        ),
        pytest.param(
            dataclasses.replace(CHOSEN, specialisation=""), id="of none that it boots"
        ),
    ],
)
def test_that_of_another_system_is_another_system(seen: Observed) -> None:
    before = Known(applied=OLD, machine_id="m1")
    made = plan(desired(want()), seen, known=before, policy=Policy())

    assert made.verdict is Verdict.DEPLOY
    assert "activate" in steps(made)
    told = summary_lines(made)[0]
    assert ("specialisation quiet" in told.what) == bool(seen.specialisation)
    assert told.effect == "will activate"


def test_no_reboot_takes_it_out_of_it() -> None:
    policy = Policy(reboot=Reboot.ALLOWED)
    seen = dataclasses.replace(CHOSEN, **KERNELS)
    plain = observed(have(), **KERNELS)

    made = plan(desired(want()), seen, known=KNOWN, policy=policy)
    other = plan(desired(want()), plain, known=KNOWN, policy=policy)

    assert (made.verdict, other.verdict) == (Verdict.CONVERGED, Verdict.HEAL)
