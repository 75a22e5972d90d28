"""Which deliveries were taken: bounded, in order, and not lost to trouble."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from reconciler.history import History
from reconciler.history import deliveries as records
from reconciler.web.webhooks import Seen


def test_the_last_ones_are_kept_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "KEPT", 3)
    with contextlib.closing(History.open(tmp_path / "history.sqlite")) as history:
        history.deliveries.note([], now=1.0)
        history.deliveries.note(["a", "b", "a"], now=1.0)
        history.deliveries.note(["c", "a", "d"], now=2.0)

        assert history.deliveries.known() == ["c", "a", "d"]


def test_memory_is_bounded_too(tmp_path: Path) -> None:
    with contextlib.closing(History.open(tmp_path / "history.sqlite")) as history:
        seen = Seen(history.deliveries, limit=10)
        for number in range(50):
            assert seen.note("route", b"%d" % number, b"")
            if number < 25:
                seen.save(1.0)
        assert not seen.note("route", b"45", b"")
        assert seen.note("route", b"39", b"")
        seen.save(2.0)

    with contextlib.closing(History.open(tmp_path / "history.sqlite")) as history:
        again = Seen(history.deliveries, limit=10)
        assert not again.note("route", b"45", b"")
        assert again.note("route", b"12", b"")


@pytest.mark.parametrize(
    "other",
    [("other", b"id", b"body"), ("route", b"di", b"body"), ("route", b"id", b"x")],
)
def test_route_id_and_body_make_a_delivery(
    tmp_path: Path, other: tuple[str, bytes, bytes]
) -> None:
    with contextlib.closing(History.open(tmp_path / "history.sqlite")) as history:
        seen = Seen(history.deliveries)
        assert seen.note("route", b"id", b"body")
        assert seen.note(*other)
        assert not seen.note("route", b"id", b"body")


def test_a_database_that_fails_costs_the_memory_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.sqlite"
    with contextlib.closing(History.open(path)) as history:
        seen = Seen(history.deliveries)
        seen.note("route", b"id", b"body")
        with sqlite3.connect(path) as connection:
            connection.execute("drop table deliveries")
        connection.close()
        seen.save(1.0)

        assert "cannot remember deliveries" in capsys.readouterr().out
        assert not seen.note("route", b"id", b"body")
