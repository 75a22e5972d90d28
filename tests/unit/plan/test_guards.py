"""What is not done to hosts without asking a person, or not just now."""

import dataclasses

import pytest

from reconciler.model import (
    Adopt,
    HostName,
    Known,
    Mode,
    Policy,
    Reboot,
    SystemParts,
    UnitName,
    Verdict,
)
from reconciler.plan import hosts_gone, plan, services_of, told_gone
from tests.unit.plan.samples import (
    KNOWN,
    NEW,
    OLD,
    STOPPED,
    desired,
    have,
    observed,
    plan_of,
    steps,
    want,
)

NAMES = [UnitName(f"{name}.service") for name in ("a", "b", "c", "d", "e", "f", "g")]
BEHIND = observed(running=OLD, profile=OLD)
REBUILD = "nixos-rebuild-switch-to-configuration.service"
OURS = "reconciler-activation.service"
BEFORE = SystemParts(kernel="/nix/store/old-linux")
AFTER = SystemParts(kernel="/nix/store/new-linux")
REBOOT = Policy(reboot=Reboot.ALLOWED)


def had(count: int, **fields: object) -> Known:
    known = Known(applied=OLD, machine_id="m1", services=frozenset(NAMES[:count]))
    return dataclasses.replace(known, **fields)  # type: ignore[arg-type]


# --- services --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "left", "limit", "verdict"),
    [
        pytest.param(4, 1, 0.5, Verdict.BLOCKED, id="three of four"),
        pytest.param(4, 2, 0.5, Verdict.DEPLOY, id="half is not more than half"),
        pytest.param(7, 0, 0.5, Verdict.BLOCKED, id="all"),
        pytest.param(3, 0, 0.5, Verdict.DEPLOY, id="a few are a change like any other"),
        pytest.param(4, 3, 0.0, Verdict.BLOCKED, id="none may go"),
        pytest.param(7, 0, 1.0, Verdict.DEPLOY, id="any may go"),
        pytest.param(0, 0, 0.5, Verdict.DEPLOY, id="nothing is known of before"),
    ],
)
def test_a_system_without_most_of_the_services_waits(
    before: int, left: int, limit: float, verdict: Verdict
) -> None:
    new = desired(*(want(name) for name in NAMES[:left]))

    made = plan(new, BEHIND, known=had(before), policy=Policy(removal_limit=limit))

    assert made.verdict is verdict
    assert bool(made.steps) == (verdict is Verdict.DEPLOY)


def test_what_would_go_is_told_with_what_to_do() -> None:
    made = plan(desired(), BEHIND, known=had(7), policy=Policy())

    assert "7 of the 7 services" in made.reason
    assert "(a.service, b.service, c.service, d.service, e.service and 2 more)" in (
        made.reason
    )
    assert made.reason.endswith("run: reconciler approve lufta")


def test_what_was_approved_passes() -> None:
    made = plan(desired(), BEHIND, known=had(7, approved=True), policy=Policy())

    assert made.verdict is Verdict.DEPLOY


def test_what_the_system_that_runs_lacks_is_nothing_to_ask_about() -> None:
    """The switch is over; to stop before the boot default would help nobody."""
    halfway = observed(running=NEW, profile=OLD)

    assert plan(desired(), halfway, known=had(7), policy=Policy()).verdict is (
        Verdict.DEPLOY
    )


def test_new_services_make_up_for_none() -> None:
    other = desired(*(want(f"new-{name}") for name in NAMES))

    assert plan(other, BEHIND, known=had(7), policy=Policy()).verdict is Verdict.BLOCKED


def test_only_services_that_should_run_count() -> None:
    units = (
        want("a.service"),
        want("b.service", wanted=False),
        want("c.service", path=None),
        want("d.socket"),
    )

    assert services_of(desired(*units)) == {"a.service"}


# --- hosts -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "limit", "gone"),
    [
        ("abcd", "a", 0.5, "bcd"),
        ("abcd", "ab", 0.5, ""),
        ("abc", "a", 0.5, ""),
        ("abcd", "wxyz", 0.5, "abcd"),
        ("abcd", "a", 1.0, ""),
        ("abcd", "", 1.0, "abcd"),
        ("a", "", 0.5, "a"),
        ("", "", 0.5, ""),
        ("", "abcd", 0.0, ""),
    ],
)
def test_a_commit_without_most_of_the_hosts_waits(
    before: str, after: str, limit: float, gone: str
) -> None:
    found = hosts_gone(map(HostName, before), map(HostName, after), limit)

    assert "".join(found) == gone


def test_which_hosts_are_gone_is_told() -> None:
    gone = (HostName("keanu"), HostName("lufta"))

    assert told_gone(gone, 3) == "it has 2 of the 3 hosts no more (keanu, lufta)"


# --- somebody else ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("shutdown", "verdict"),
    [
        pytest.param({**STOPPED, "queued": True}, Verdict.BLOCKED, id="begun"),
        pytest.param(STOPPED, Verdict.HEAL, id="not begun"),
    ],
)
def test_nothing_is_started_on_a_host_that_goes_down(
    shutdown: dict[str, object], verdict: Verdict
) -> None:
    seen = observed(have(**STOPPED), have("shutdown.target", **shutdown))

    made = plan(desired(want()), seen, known=KNOWN, policy=Policy())

    assert made.verdict is verdict
    assert bool(made.steps) is (verdict is Verdict.HEAL)


@pytest.mark.parametrize(
    ("units", "switching", "verdict"),
    [
        pytest.param((), True, Verdict.BLOCKED, id="the lock is held"),
        pytest.param((have(REBUILD),), False, Verdict.BLOCKED, id="nixos-rebuild"),
        pytest.param(
            (have(REBUILD, **STOPPED),), False, Verdict.DEPLOY, id="it has ended"
        ),
        pytest.param((have(OURS),), True, Verdict.DEPLOY, id="it is one of ours"),
        pytest.param((), False, Verdict.DEPLOY, id="nobody"),
    ],
)
def test_a_plan_waits_while_somebody_else_switches(
    units: tuple[object, ...], verdict: Verdict, *, switching: bool
) -> None:
    seen = observed(*units, running=OLD, profile=OLD, switching=switching)  # type: ignore[arg-type]

    made = plan(desired(), seen, known=had(0), policy=Policy())

    assert made.verdict is verdict
    if verdict is Verdict.BLOCKED:
        assert made.reason.startswith("somebody is switching this host")


def test_what_somebody_stops_in_a_switch_is_not_started() -> None:
    seen = observed(have(**STOPPED), switching=True)

    made = plan(desired(want()), seen, known=KNOWN, policy=Policy())

    assert (made.verdict, made.steps) == (Verdict.BLOCKED, ())


def test_a_host_that_is_in_sync_is_so_also_while_somebody_switches() -> None:
    assert plan_of([], observed(switching=True)).verdict is Verdict.CONVERGED


# --- reboots ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "known", "fields", "todo"),
    [
        pytest.param(REBOOT, KNOWN, {}, ["reboot"], id="allowed"),
        pytest.param(Policy(), KNOWN, {}, [], id="never"),
        pytest.param(
            dataclasses.replace(REBOOT, heal=False), KNOWN, {}, ["reboot"], id="no heal"
        ),
        pytest.param(REBOOT, dataclasses.replace(KNOWN, hold="no"), {}, [], id="held"),
        pytest.param(
            REBOOT, dataclasses.replace(KNOWN, rebooted=True), {}, [], id="in vain"
        ),
        pytest.param(REBOOT, KNOWN, {"switching": True}, [], id="somebody switches"),
        pytest.param(REBOOT, KNOWN, {"profile": OLD}, ["set-boot"], id="boot first"),
        pytest.param(REBOOT, KNOWN, {"booted_parts": AFTER}, [], id="not needed"),
    ],
)
def test_a_reboot_is_made_where_it_may_and_when_all_else_is_closed(
    policy: Policy, known: Known, fields: dict[str, object], todo: list[str]
) -> None:
    parts = {"running_parts": AFTER, "booted_parts": BEFORE}
    seen = observed(have(), **{**parts, **fields})

    made = plan(desired(want()), seen, known=known, policy=policy)

    assert steps(made) == todo
    assert made.verdict is (Verdict.HEAL if todo else Verdict.CONVERGED)


# --- the first deployment --------------------------------------------------------

MET = Known(machine_id="m1")
STRANGE = dataclasses.replace(MET, adopted=False)


@pytest.mark.parametrize(
    ("known", "policy", "verdict"),
    [
        pytest.param(STRANGE, Policy(), Verdict.UNADOPTED, id="asked"),
        pytest.param(
            STRANGE, Policy(adopt=Adopt.ALWAYS), Verdict.DEPLOY, id="never asked"
        ),
        pytest.param(MET, Policy(), Verdict.DEPLOY, id="adopted"),
        pytest.param(
            dataclasses.replace(STRANGE, under_way=True),
            Policy(),
            Verdict.DEPLOY,
            id="under way",
        ),
        pytest.param(
            STRANGE, Policy(mode=Mode.REPORT), Verdict.REPORTED, id="only looked at"
        ),
        pytest.param(
            dataclasses.replace(STRANGE, hold="wait"), Policy(), Verdict.HELD, id="held"
        ),
        pytest.param(
            dataclasses.replace(STRANGE, approved=True),
            Policy(),
            Verdict.UNADOPTED,
            id="another guard was answered",
        ),
    ],
)
def test_a_host_that_was_never_in_sync_waits_for_adoption(
    known: Known, policy: Policy, verdict: Verdict
) -> None:
    made = plan(desired(want()), BEHIND, known=known, policy=policy)

    assert made.verdict is verdict
    assert bool(made.steps) is (verdict is Verdict.DEPLOY)
    assert ("reconciler adopt lufta" in made.reason) is (verdict is Verdict.UNADOPTED)


def test_nothing_is_healed_on_a_host_that_waits_for_adoption() -> None:
    made = plan_of([want()], observed(have(**STOPPED)), STRANGE)

    assert (made.verdict, made.steps) == (Verdict.UNADOPTED, ())


def test_a_host_that_waits_for_adoption_is_not_rebooted() -> None:
    seen = observed(have(), running_parts=AFTER, booted_parts=BEFORE)

    made = plan(desired(want()), seen, known=STRANGE, policy=REBOOT)

    assert (made.verdict, made.steps) == (Verdict.CONVERGED, ())
