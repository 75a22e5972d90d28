"""Holds, quarantines and approvals: what history keeps, and who learns of it."""

from collections.abc import Iterator

import pytest

from reconciler.errors import StateError
from reconciler.history import (
    UNSET_MODE_IS_AUTO,
    Event,
    History,
    Ordered,
    Retention,
)
from reconciler.model import CommitId, Hold, HostName, HostStatus, Quarantine, StorePath
from tests.support.places import Place

KEANU, LUFTA = HostName("keanu"), HostName("lufta")
OLD, NEW = StorePath("/nix/store/old-system"), StorePath("/nix/store/new-system")
NOON = 1795521600.0  # 2026-11-24 12:00:00 UTC
HOUR = 3600.0

HOLD = Hold(host=KEANU, reason="disk is being changed", actor="cadey", since=NOON)
FAILED = Quarantine(
    host=KEANU,
    toplevel=NEW,
    reason="withinbot.service did not stay up",
    since=NOON,
    attempt="20261124T120000-0001",
)


@pytest.fixture
def history(place: Place) -> Iterator[History]:
    with place.opened() as history:
        yield history


def told(history: History) -> list[tuple[str, str, str]]:
    """Return kind, actor and text of every event, oldest first."""
    events = reversed(history.events())
    return [(event.kind, event.actor, event.text) for event in events]


def until(seconds: float) -> Hold:
    return Hold(
        host=LUFTA, reason="maintenance", actor="cadey", since=NOON, until=seconds
    )


# --- holds -----------------------------------------------------------------------


def test_a_hold_is_kept_until_it_is_released(history: History, place: Place) -> None:
    history.hold(HOLD)
    history.close()

    again = place.open()
    assert again.hold_of(KEANU, NOON + HOUR) == HOLD
    assert again.holds(NOON + HOUR) == [HOLD]
    assert again.hold_of(LUFTA, NOON) is None
    assert again.release(KEANU, now=NOON + 1, actor="mara")
    assert again.hold_of(KEANU, NOON) is None
    assert not again.release(KEANU, now=NOON + 2, actor="mara")
    assert told(again) == [
        ("hold", "cadey", "disk is being changed"),
        ("release", "mara", ""),
    ]
    again.close()


def test_the_last_hold_of_a_host_holds(history: History) -> None:
    history.hold(until(NOON + HOUR))
    history.hold(until(NOON + 2 * HOUR))

    assert history.holds(NOON) == [until(NOON + 2 * HOUR)]
    assert told(history)[-1][2] == "maintenance (until 2026-11-24T14:00:00Z)"


def test_a_hold_that_has_run_out_does_not_count_and_is_cleaned_up(
    history: History,
) -> None:
    history.hold(HOLD)
    history.hold(until(NOON + HOUR))

    assert history.hold_of(LUFTA, NOON + HOUR - 1) == until(NOON + HOUR)
    assert history.end_holds(NOON + HOUR - 1) == []
    assert history.hold_of(LUFTA, NOON + HOUR) is None
    assert history.holds(NOON + HOUR) == [HOLD]
    assert history.end_holds(NOON + HOUR) == [LUFTA]
    assert history.holds(NOON) == [HOLD]
    assert history.end_holds(NOON + HOUR) == []
    assert told(history)[-1][0] == "hold-ended"


def test_a_reader_sees_holds_and_does_not_clean_up(
    history: History, place: Place
) -> None:
    history.hold(until(NOON + HOUR))
    reader = place.open(read_only=True)

    assert reader.holds(NOON) == [until(NOON + HOUR)]
    assert reader.holds(NOON + HOUR) == []
    with pytest.raises(StateError):
        reader.hold(HOLD)
    reader.close()


# --- quarantines -----------------------------------------------------------------


def test_a_quarantine_is_of_one_system_on_one_host(history: History) -> None:
    assert history.quarantine(FAILED) == FAILED

    assert history.quarantine_of(KEANU, NEW) == FAILED
    assert history.quarantine_of(KEANU, OLD) is None
    assert history.quarantine_of(LUFTA, NEW) is None
    assert told(history) == [
        ("quarantine", "", f"{NEW}: withinbot.service did not stay up")
    ]


def test_failures_add_up_and_the_last_reason_is_told(history: History) -> None:
    history.quarantine(FAILED)
    again = Quarantine(
        host=KEANU, toplevel=NEW, reason="a check", since=NOON + HOUR, attempt="b"
    )

    found = history.quarantine(again)

    assert (found.failures, found.since) == (2, NOON)
    assert (found.reason, found.attempt) == ("a check", "b")
    assert history.quarantines() == [found]


def test_lifting_forgets_every_system_that_failed_on_a_host(history: History) -> None:
    for toplevel in (OLD, NEW):
        for host in (KEANU, LUFTA):
            history.quarantine(
                Quarantine(
                    host=host, toplevel=toplevel, reason="-", since=NOON, attempt="a"
                )
            )

    assert history.lift(KEANU, now=NOON, actor="cadey")
    assert not history.lift(KEANU, now=NOON, actor="cadey"), "and yet it is an order"

    assert {one.host for one in history.quarantines()} == {LUFTA}
    assert told(history)[-2:] == [("retry", "cadey", "")] * 2


def test_a_host_that_leaves_keeps_its_quarantine_and_its_hold(
    history: History,
) -> None:
    history.hold(HOLD)
    history.quarantine(FAILED)

    history.forget_host(KEANU)

    assert history.quarantines() == [FAILED]
    assert history.holds(NOON) == [HOLD]


def test_a_status_tells_the_orders_of_this_moment(history: History) -> None:
    for host in (KEANU, LUFTA):
        seen = HostStatus(host=host, commit=CommitId("c"), updated_at=0, target=NEW)
        history.save_status(seen)
    history.hold(until(NOON + HOUR))
    history.quarantine(FAILED)

    keanu, lufta = history.statuses(now=NOON)
    assert (keanu.hold, keanu.quarantine) == (None, FAILED)
    assert (lufta.hold, lufta.quarantine) == (until(NOON + HOUR), None)
    _, lufta = history.statuses(now=NOON + HOUR)
    assert lufta.hold is None


# --- approvals -------------------------------------------------------------------


def test_what_was_approved_is_known(history: History) -> None:
    assert not history.is_approved("commit c0ffee")

    history.approve("commit c0ffee", now=NOON, actor="cadey")
    history.approve("commit c0ffee", now=NOON + 1, actor="cadey")

    assert history.is_approved("commit c0ffee")
    assert not history.is_approved("commit beef")
    assert told(history) == [("approve", "cadey", "commit c0ffee")] * 2


# --- together --------------------------------------------------------------------


def test_another_process_learns_what_was_ordered(
    history: History, place: Place
) -> None:
    history.hold(HOLD)
    daemon = place.open()
    serial = daemon.orders_serial()
    assert daemon.orders_since(serial) == []

    history.release(KEANU, now=NOON, actor="cadey")
    history.release(LUFTA, now=NOON, actor="cadey")  # was not held: no order
    history.event(now=NOON, kind="trust", text="not an order")
    history.quarantine(FAILED)  # nor is this: whoever did it knows
    history.lift(LUFTA, now=NOON)
    history.approve("commit c0ffee", now=NOON)

    news = daemon.orders_since(serial)
    assert [(one.kind, one.host) for one in news] == [
        ("release", KEANU),
        ("retry", LUFTA),
        ("approve", None),
    ]
    assert daemon.orders_since(news[-1].serial) == []
    daemon.close()


def test_an_order_that_cannot_be_kept_leaves_no_event(
    history: History, place: Place
) -> None:
    place.run("DROP TABLE holds")

    with pytest.raises(StateError):
        history.hold(HOLD)

    assert history.events() == []


def test_the_number_of_orders_never_goes_back(history: History) -> None:
    assert history.orders_serial() == 0
    history.hold(HOLD)
    first = history.orders_serial()
    history.prune(now=NOON + 10_000 * HOUR)
    history.release(KEANU, now=NOON - HOUR)  # the clock was set back

    (news,) = history.orders_since(first)
    assert news == Ordered(serial=news.serial, kind="release", host=KEANU)
    assert news.serial > first


def test_pruning_keeps_holds_and_the_last_quarantines(history: History) -> None:
    history.hold(HOLD)
    history.approve("old", now=NOON)
    history.approve("new", now=NOON + HOUR)
    for number in range(3):
        system = StorePath(f"/nix/store/{number}")
        history.quarantine(
            Quarantine(host=KEANU, toplevel=system, reason="", since=NOON, attempt="a")
        )

    history.prune(
        now=NOON + HOUR, keep=Retention(quarantines=2, attempt_seconds=HOUR / 2)
    )

    assert history.holds(NOON) == [HOLD]
    kept = [one.toplevel for one in history.quarantines()]
    assert kept == ["/nix/store/1", "/nix/store/2"]
    assert (history.is_approved("old"), history.is_approved("new")) == (False, True)


def test_pruning_takes_no_host_away_that_was_given_to_us(history: History) -> None:
    history.adopt(KEANU, now=NOON)
    history.approve(UNSET_MODE_IS_AUTO, now=NOON)

    history.prune(now=NOON + 10_000 * HOUR, keep=Retention(attempt_seconds=HOUR))

    assert history.is_adopted(KEANU)
    assert history.is_approved(UNSET_MODE_IS_AUTO)


def test_text_that_no_database_keeps_is_mended(history: History) -> None:
    history.hold(Hold(host=KEANU, reason="a\0b", actor="c\udcff", since=NOON))

    (found,) = history.holds(NOON)
    assert (found.reason, found.actor) == (r"a\x00b", r"c\udcff")
    assert history.events()[0] == Event(
        at=NOON, kind="hold", host=KEANU, actor=r"c\udcff", text=r"a\x00b"
    )
