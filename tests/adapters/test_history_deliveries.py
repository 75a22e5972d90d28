"""Which deliveries were taken: bounded, in order, and not lost to trouble."""

import pytest

from reconciler.history import deliveries as records
from reconciler.web.webhooks import Seen
from tests.support.places import Place

SELDOM_POSTGRESQL = True


def test_the_last_ones_are_kept_in_order(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "KEPT", 3)
    with place.opened() as history:
        history.deliveries.note([], now=1.0)
        history.deliveries.note(["a", "b", "a"], now=1.0)
        history.deliveries.note(["c", "a", "d"], now=2.0)

        assert history.deliveries.known() == ["c", "a", "d"]


def test_memory_is_bounded_too(place: Place) -> None:
    with place.opened() as history:
        seen = Seen(history.deliveries, limit=10)
        for number in range(50):
            assert seen.note("route", b"%d" % number, b"")
            if number < 25:
                seen.save(1.0)
        assert not seen.note("route", b"45", b"")
        assert seen.note("route", b"39", b"")
        seen.save(2.0)

    with place.opened() as history:
        again = Seen(history.deliveries, limit=10)
        assert not again.note("route", b"45", b"")
        assert again.note("route", b"12", b"")


@pytest.mark.parametrize(
    "other",
    [("other", b"id", b"body"), ("route", b"di", b"body"), ("route", b"id", b"x")],
)
def test_route_id_and_body_make_a_delivery(
    place: Place, other: tuple[str, bytes, bytes]
) -> None:
    with place.opened() as history:
        seen = Seen(history.deliveries)
        assert seen.note("route", b"id", b"body")
        assert seen.note(*other)
        assert not seen.note("route", b"id", b"body")


def test_a_database_that_fails_costs_the_memory_only(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    with place.opened() as history:
        seen = Seen(history.deliveries)
        seen.note("route", b"id", b"body")
        place.run("drop table deliveries")
        seen.save(1.0)

        assert "cannot remember deliveries" in capsys.readouterr().out
        assert not seen.note("route", b"id", b"body")
