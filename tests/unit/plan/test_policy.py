"""What is done about the differences of a host."""

import dataclasses

import pytest

from reconciler.model import (
    DriftKind,
    HostName,
    Known,
    Managed,
    Mode,
    Observed,
    Policy,
    Reboot,
    StorePath,
    SystemKind,
    SystemParts,
    Turn,
    Verdict,
)
from reconciler.plan import plan, summary_lines, unreachable
from tests.unit.plan.samples import (
    KNOWN,
    LUFTA,
    NEW,
    OLD,
    STOPPED,
    desired,
    have,
    observed,
    only_drift,
    plan_of,
    steps,
    want,
)

BOTH = Policy()
LOOK = Policy(heal=False)
REPORT = Policy(mode=Mode.REPORT)
DEPLOY = ["build", "copy", "activate", "set-boot"]
BEHIND = observed(have(), running=OLD, profile=OLD)
BY_HAND = observed(have(**STOPPED))
BOTH_AT_ONCE = observed(have(**STOPPED), running=OLD, profile=OLD)
HALFWAY = observed(have(), profile=OLD)
WAS_OLD = Known(applied=OLD, machine_id="m1")
FIRST = Known()
BAD = Known(applied=OLD, machine_id="m1", quarantine="withinbot.service died")
HELD = Known(applied=OLD, machine_id="m1", hold="disk is being changed")


@pytest.mark.parametrize(
    ("seen", "known", "policy", "verdict", "todo"),
    [
        pytest.param(
            observed(have()), KNOWN, BOTH, Verdict.CONVERGED, [], id="nothing differs"
        ),
        pytest.param(BEHIND, WAS_OLD, BOTH, Verdict.DEPLOY, DEPLOY, id="a new commit"),
        pytest.param(BEHIND, FIRST, BOTH, Verdict.DEPLOY, DEPLOY, id="first met"),
        pytest.param(
            BEHIND, WAS_OLD, LOOK, Verdict.DEPLOY, DEPLOY, id="a commit is no healing"
        ),
        pytest.param(
            BOTH_AT_ONCE,
            WAS_OLD,
            LOOK,
            Verdict.DEPLOY,
            ["build", "copy", "activate", "start withinbot.service", "set-boot"],
            id="a commit closes other drift too",
        ),
        pytest.param(
            BEHIND, KNOWN, BOTH, Verdict.HEAL, DEPLOY, id="switched back by hand"
        ),
        pytest.param(
            BEHIND, KNOWN, LOOK, Verdict.REPORTED, [], id="by hand, not to be healed"
        ),
        pytest.param(
            BY_HAND,
            KNOWN,
            BOTH,
            Verdict.HEAL,
            ["start withinbot.service"],
            id="stopped by hand",
        ),
        pytest.param(
            BY_HAND, KNOWN, LOOK, Verdict.REPORTED, [], id="stopped, not to be healed"
        ),
        pytest.param(
            BY_HAND,
            FIRST,
            LOOK,
            Verdict.REPORTED,
            [],
            id="stopped before we met, and no commit changes it",
        ),
        pytest.param(
            HALFWAY,
            WAS_OLD,
            LOOK,
            Verdict.DEPLOY,
            ["activate", "set-boot"],
            id="cut short",
        ),
        pytest.param(
            HALFWAY, KNOWN, BOTH, Verdict.HEAL, ["set-boot"], id="boot default by hand"
        ),
        pytest.param(BEHIND, HELD, BOTH, Verdict.HELD, [], id="held"),
        pytest.param(BEHIND, HELD, REPORT, Verdict.HELD, [], id="held and report"),
        pytest.param(
            observed(have()), HELD, REPORT, Verdict.CONVERGED, [], id="held, in sync"
        ),
        pytest.param(BEHIND, BAD, BOTH, Verdict.QUARANTINED, [], id="failed before"),
        pytest.param(
            BEHIND, BAD, REPORT, Verdict.QUARANTINED, [], id="failed before, report"
        ),
        pytest.param(
            BEHIND,
            dataclasses.replace(BAD, hold="wait"),
            BOTH,
            Verdict.HELD,
            [],
            id="failed before, held",
        ),
        pytest.param(
            observed(have()), BAD, BOTH, Verdict.CONVERGED, [], id="failed, and works"
        ),
        pytest.param(
            BEHIND, WAS_OLD, REPORT, Verdict.REPORTED, [], id="a commit, report only"
        ),
        pytest.param(
            BY_HAND, KNOWN, REPORT, Verdict.REPORTED, [], id="by hand, report only"
        ),
    ],
)
def test_verdict(
    seen: Observed, known: Known, policy: Policy, verdict: Verdict, todo: list[str]
) -> None:
    made = plan(desired(want()), seen, known=known, policy=policy)

    assert (made.verdict, steps(made)) == (verdict, todo)


def test_the_reason_of_a_hold_is_told() -> None:
    made = plan(desired(), BEHIND, known=HELD, policy=BOTH)

    assert made.reason == "held: disk is being changed"


def test_how_a_system_failed_is_told_with_what_to_do() -> None:
    made = plan(desired(), BEHIND, known=BAD, policy=BOTH)

    assert "reconciler retry" in made.reason
    assert made.reason.endswith(": withinbot.service died")


def test_a_revert_brings_back_the_system_before_the_last() -> None:
    """Commits A, B and a revert to A; what counts is what runs, not what once did."""
    after_b = observed(have(), running=OLD, profile=OLD)

    made = plan(desired(want()), after_b, known=WAS_OLD, policy=LOOK)

    assert (made.verdict, made.target) == (Verdict.DEPLOY, NEW)


def test_another_machine_is_not_touched() -> None:
    made = plan_of([want()], observed(machine_id="m2", running=OLD))

    assert (made.verdict, made.steps) == (Verdict.BLOCKED, ())
    assert only_drift(made).kind is DriftKind.WRONG_MACHINE
    assert "reconciler trust lufta" in made.reason
    assert "machine id m2, known is m1" in made.reason


def test_a_machine_without_an_id_is_not_the_known_one() -> None:
    assert plan_of([], observed(machine_id="")).verdict is Verdict.BLOCKED


def test_a_host_without_nixos_is_not_touched() -> None:
    made = plan_of([want()], observed(running=None, profile=None), known=FIRST)

    assert (made.verdict, made.steps) == (Verdict.BLOCKED, ())
    assert only_drift(made).kind is DriftKind.SYSTEM
    assert "does not run NixOS" in made.reason


def test_a_host_that_does_not_answer() -> None:
    made = unreachable(LUFTA, NEW, "lufta: no answer within 10 s")

    assert (made.verdict, made.steps) == (Verdict.BLOCKED, ())
    assert only_drift(made).kind is DriftKind.UNREACHABLE
    assert made.reason == "lufta: no answer within 10 s"


@pytest.mark.parametrize(
    "profile",
    [
        pytest.param(None, id="no profile"),
        pytest.param(OLD, id="another"),
        pytest.param(
            StorePath("/nix/store/abc-activatable-nixos-system-lufta-24.05"),
            id="a wrapper of deploy-rs",
        ),
    ],
)
def test_the_boot_default_is_set(profile: StorePath | None) -> None:
    made = plan_of([want()], observed(have(), profile=profile))

    assert only_drift(made).kind is DriftKind.BOOT
    assert steps(made) == ["set-boot"]


def test_the_boot_default_is_not_told_apart_from_another_system() -> None:
    made = plan_of([want()], BEHIND)

    assert [drift.kind for drift in made.drifts] == [DriftKind.SYSTEM]


@pytest.mark.parametrize(
    ("booted", "running", "needed"),
    [
        pytest.param(
            SystemParts(kernel="/nix/store/k1"),
            SystemParts(kernel="/nix/store/k2"),
            "kernel /nix/store/k1",
            id="kernel",
        ),
        pytest.param(
            SystemParts(initrd="/nix/store/i1", systemd="/nix/store/s1"),
            SystemParts(initrd="/nix/store/i2", systemd="/nix/store/s2"),
            "initrd /nix/store/i1, systemd /nix/store/s1",
            id="initrd and systemd",
        ),
        pytest.param(
            SystemParts(modules="/nix/store/m1"),
            SystemParts(modules="/nix/store/m2"),
            "modules /nix/store/m1",
            id="modules",
        ),
        pytest.param(
            SystemParts(),
            SystemParts(kernel="/nix/store/k2"),
            "",
            id="a guest without a kernel",
        ),
        pytest.param(
            SystemParts(kernel="/nix/store/k1"),
            SystemParts(kernel="/nix/store/k1"),
            "",
            id="the same",
        ),
    ],
)
def test_a_reboot_that_is_due_is_told_and_takes_nothing(
    booted: SystemParts, running: SystemParts, needed: str
) -> None:
    seen = observed(have(), booted_parts=booted, running_parts=running)

    made = plan_of([want()], seen)

    assert (made.verdict, made.steps) == (Verdict.CONVERGED, ())
    assert [drift.observed for drift in made.drifts] == ([needed] if needed else [])
    assert not any(drift.is_open for drift in made.drifts)


# --- a system that cannot be switched to ---------------------------------------------

REFUSED = Known(applied=OLD, machine_id="m1", refused=True)
MAY_REBOOT = Policy(reboot=Reboot.ALLOWED)
OTHERS = Turn(host=HostName("keanu"), since=1.0, boot_id="")


def test_it_is_booted_into_where_the_policy_allows_that() -> None:
    made = plan(desired(want()), BEHIND, known=REFUSED, policy=MAY_REBOOT)
    allowed = plan(desired(want()), BEHIND, known=REFUSED, policy=BOTH)
    never_asked = plan(desired(want()), BEHIND, known=WAS_OLD, policy=MAY_REBOOT)
    by_hand = dataclasses.replace(KNOWN, refused=True)
    heals = plan(desired(want()), BEHIND, known=by_hand, policy=MAY_REBOOT)

    assert made.verdict is Verdict.DEPLOY
    assert steps(made) == ["build", "copy", "boot into it", "set-boot"]
    assert summary_lines(made)[0].effect == "will boot into it"
    assert steps(allowed) == steps(never_asked) == steps(heals) == DEPLOY


def test_it_waits_for_its_turn() -> None:
    known = dataclasses.replace(REFUSED, turn=OTHERS)
    mine = dataclasses.replace(OTHERS, host=LUFTA)

    waits = plan(desired(want()), BEHIND, known=known, policy=MAY_REBOOT)
    goes = plan(
        desired(want()),
        BEHIND,
        known=dataclasses.replace(REFUSED, turn=mine),
        policy=MAY_REBOOT,
    )

    assert (waits.verdict, waits.steps) == (Verdict.BLOCKED, ())
    assert waits.waits_for == "keanu"
    assert "keanu" in waits.reason
    assert "boot into it" in steps(goes)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"hold": "not now"}, Verdict.HELD),
        ({"quarantine": "it did not come up"}, Verdict.QUARANTINED),
    ],
)
def test_nobody_boots_what_nobody_may_switch(
    change: dict[str, str], verdict: Verdict
) -> None:
    known = dataclasses.replace(REFUSED, **change)  # type: ignore[arg-type]

    made = plan(desired(want()), BEHIND, known=known, policy=MAY_REBOOT)

    assert (made.verdict, made.steps) == (verdict, ())


def test_the_system_is_booted_before_its_specialisation_runs() -> None:
    wish = dataclasses.replace(
        desired(want()), specialisation="loud", specialisations=("loud",)
    )

    made = plan(wish, BEHIND, known=REFUSED, policy=MAY_REBOOT)

    assert "boot into it" in steps(made)
    assert made.specialisation == ""


MANAGED = dataclasses.replace(desired(want()), kind=SystemKind.SYSTEM_MANAGER)


def elsewhere(*, is_nixos: bool, runs: StorePath | None) -> Observed:
    """Return a host with a link that NixOS would have, and what else is there."""
    managed = Managed(running=runs, profile=runs)
    return dataclasses.replace(
        observed(have()), running=OLD, is_nixos=is_nixos, managed=managed
    ).of(SystemKind.SYSTEM_MANAGER)


def test_of_a_host_that_is_not_nixos_what_system_manager_has_counts() -> None:
    made = plan(MANAGED, elsewhere(is_nixos=False, runs=NEW), known=FIRST, policy=BOTH)

    assert made.verdict is Verdict.CONVERGED


def test_a_nixos_is_no_host_for_a_system_of_system_manager() -> None:
    """It would write into an /etc that is not its own."""
    made = plan(MANAGED, elsewhere(is_nixos=True, runs=NEW), known=FIRST, policy=BOTH)

    assert made.verdict is Verdict.BLOCKED
    assert "runs NixOS" in made.reason
    assert [drift.kind for drift in made.drifts] == [DriftKind.SYSTEM]


def test_a_host_with_nothing_of_system_manager_is_brought_all_of_it() -> None:
    bare = elsewhere(is_nixos=False, runs=None)

    made = plan(MANAGED, bare, known=FIRST, policy=BOTH)

    assert (made.verdict, steps(made)) == (Verdict.DEPLOY, DEPLOY)


def test_no_host_is_booted_into_a_system_of_system_manager() -> None:
    known = dataclasses.replace(FIRST, refused=True)
    may_reboot = Policy(reboot=Reboot.ALLOWED)
    bare = elsewhere(is_nixos=False, runs=None)

    made = plan(MANAGED, bare, known=known, policy=may_reboot)

    assert steps(made) == DEPLOY
