"""Which units an attempt restarted, and how long each was down."""

import dataclasses

from reconciler.model import Observed, ObservedUnit, Restart, UnitName
from reconciler.plan import restarts
from tests.unit.plan.samples import BOT, STOPPED, have, observed

LOOKED = 1000.0  # our clock
HOST_IS_AHEAD = 300.0


def look(*units: ObservedUnit, boot: str = "b1") -> Observed:
    found = observed(*units)
    return dataclasses.replace(
        found, boot_id=boot, began_at=LOOKED, clock=LOOKED + HOST_IS_AHEAD
    )


def up(invocation: str, left: float = 0.0, active: float = 0.0) -> ObservedUnit:
    return have(invocation=invocation, left_at=left, active_at=active)


def told(
    before: ObservedUnit | None,
    after: ObservedUnit,
    *,
    units: frozenset[UnitName] = frozenset({BOT}),
    boot: str = "b1",
) -> tuple[Restart, ...]:
    return restarts(
        look(after),
        units,
        before=look(before, boot=boot) if before else None,
        since=LOOKED - 60,
    )


def test_a_unit_with_another_invocation_was_restarted() -> None:
    (restart,) = told(up("a", active=1200.0), up("b", left=1280.0, active=1281.5))

    assert restart == Restart(unit=BOT, seconds=1.5)


def test_a_unit_that_runs_on_was_not() -> None:
    assert told(up("a", 1280.0, 1281.5), up("a", 1280.0, 1281.5)) == ()


def test_a_unit_that_was_not_up_before_was_only_started() -> None:
    stopped = dataclasses.replace(up("a"), **STOPPED)  # type: ignore[arg-type]

    assert told(stopped, up("b", 1280.0, 1281.5)) == ()


def test_a_unit_that_is_not_up_again_is_not_told_as_restarted() -> None:
    down = dataclasses.replace(up("b", 1280.0), **STOPPED)  # type: ignore[arg-type]

    assert told(up("a"), down) == ()


def test_stamps_that_contradict_each_other_give_no_time() -> None:
    (restart,) = told(up("a"), up("b", left=1281.5, active=1280.0))

    assert restart.seconds is None


def test_after_a_reboot_nothing_is_told_of_units() -> None:
    assert told(up("a"), up("b", 1280.0, 1281.5), boot="b0") == ()


def test_without_a_look_from_before_the_stamps_decide_by_the_hosts_clock() -> None:
    long_ago = LOOKED + HOST_IS_AHEAD - 100

    assert told(None, up("b", long_ago, long_ago + 1)) == ()
    assert told(None, up("b", long_ago + 60, long_ago + 61))


def test_what_a_login_brings_is_not_told() -> None:
    """As user@0.service is, which our own new connection starts."""
    before, after = up("a"), up("b", 1280.0, 1281.5)

    assert told(before, after, units=frozenset()) == ()
    pulled_in = dataclasses.replace(after, wanted=True)
    assert told(before, pulled_in, units=frozenset())


def test_a_target_only_groups_others() -> None:
    name = UnitName("sysinit-reactivation.target")
    before = have(name, invocation="a")
    after = have(name, invocation="b", left_at=1280.0, active_at=1281.0)

    assert told(before, after, units=frozenset({name})) == ()
