"""A host that runs a specialisation of its system."""

import dataclasses

import pytest

from reconciler.model import (
    Desired,
    DriftKind,
    Known,
    Observed,
    Policy,
    Reboot,
    Specialisation,
    StorePath,
    SystemParts,
    Verdict,
)
from reconciler.plan import (
    Baseline,
    active_units,
    judge,
    plan,
    runs,
    summary_lines,
)
from tests.unit.plan.samples import (
    FAILED,
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


# --- which one a host should run -----------------------------------------------------

AND_LOUD = dataclasses.replace(
    desired(want()), specialisation="loud", specialisations=("loud", "quiet")
)
HAS_QUIET = dataclasses.replace(desired(want()), specialisations=("quiet",))
OF_OLD = dataclasses.replace(CHOSEN, profile=OLD)
OF_NEW = dataclasses.replace(  # as after a switch that is not confirmed
    CHOSEN, profile=OLD, specialisation="", brought=NEW, brought_specialisation="quiet"
)
BEFORE = Known(applied=OLD, machine_id="m1")


def test_a_new_commit_brings_the_one_of_the_same_name() -> None:
    made = plan(HAS_QUIET, OF_OLD, known=BEFORE, policy=Policy())

    assert made.verdict is Verdict.DEPLOY
    assert "activate" in steps(made)
    assert made.specialisation == "quiet"
    assert made.warnings == ()
    assert "(specialisation quiet)" in summary_lines(made)[0].what


@pytest.mark.parametrize(
    ("names", "told"),
    [((), "it has no specialisations"), (("dark", "loud"), "it has dark, loud")],
)
def test_it_falls_to_the_base_where_the_new_system_has_none_of_that_name(
    names: tuple[str, ...], told: str
) -> None:
    wish = dataclasses.replace(desired(want()), specialisations=names)

    made = plan(wish, OF_OLD, known=BEFORE, policy=Policy())

    assert (made.verdict, made.specialisation) == (Verdict.DEPLOY, "")
    (warning,) = made.warnings
    assert "the specialisation quiet" in warning
    assert told in warning
    assert plan(wish, OF_OLD, known=BEFORE, policy=BASE).specialisation == ""


def test_what_was_switched_to_is_known_before_it_is_booted_by_default() -> None:
    """Its profile is still the old system's; only that is left to do."""
    made = plan(HAS_QUIET, OF_NEW, known=BEFORE, policy=Policy())

    assert runs(HAS_QUIET, OF_NEW)
    assert made.specialisation == "quiet"
    assert [drift.kind for drift in made.drifts if drift.is_open] == [DriftKind.BOOT]


@pytest.mark.parametrize("policy", [Policy(), BASE])
@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(observed(have()), id="the base"),
        pytest.param(CHOSEN, id="another one"),
        pytest.param(OF_OLD, id="one of the system before"),
    ],
)
def test_the_one_that_the_commit_names_wins(seen: Observed, policy: Policy) -> None:
    made = plan(AND_LOUD, seen, known=BEFORE, policy=policy)

    assert "activate" in steps(made)
    assert made.specialisation == "loud"
    assert "(specialisation loud)" in summary_lines(made)[0].what


@pytest.mark.parametrize("policy", [Policy(), BASE])
def test_the_one_that_the_commit_names_is_in_sync(policy: Policy) -> None:
    seen = dataclasses.replace(CHOSEN, specialisation="loud")

    made = plan(AND_LOUD, seen, known=KNOWN, policy=policy)

    assert (made.verdict, made.steps) == (Verdict.CONVERGED, ())
    drift = only_drift(made)
    assert (drift.kind, drift.is_open) == (DriftKind.SYSTEM, False)
    assert summary_lines(made)[0].what.endswith("as the commit wants it")


# --- whether a host may keep it ------------------------------------------------------


def gate(wish: Desired, now: Observed) -> list[str]:
    """Return what is wrong with a host that was switched to a specialisation."""
    before = Baseline.of(wish, observed(have(), running=OLD, profile=OLD))
    return [one.text for one in judge(wish, before=before, early=now, now=now)]


def test_its_units_are_those_that_the_host_has() -> None:
    """What was up before and is no unit of it is not missed; its own have to be up."""
    own = have("own.service", wanted=True)
    without = dataclasses.replace(OF_NEW, units={own.name: own})
    down = dataclasses.replace(own, **STOPPED)
    failed = dataclasses.replace(own, **FAILED)

    assert gate(HAS_QUIET, without) == []
    assert (
        "own.service"
        in gate(HAS_QUIET, dataclasses.replace(without, units={own.name: down}))[0]
    )
    assert (
        "own.service"
        in gate(HAS_QUIET, dataclasses.replace(without, units={own.name: failed}))[0]
    )


def test_one_that_the_commit_does_not_name_may_not_stay() -> None:
    wish = dataclasses.replace(AND_LOUD, units={})

    assert "not" in gate(wish, dataclasses.replace(OF_NEW, units={}))[0]
    assert gate(dataclasses.replace(wish, specialisation="quiet"), OF_NEW) == []
