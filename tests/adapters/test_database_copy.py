"""History taken from one kind of database to the other and back, and from a backup."""

import contextlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection

from reconciler.errors import StateError
from reconciler.history import History
from reconciler.history.copying import copy
from reconciler.history.postgresql import PostgreSQL
from reconciler.history.schema import metadata
from reconciler.model import (
    CommitId,
    Evaluated,
    EvaluationNote,
    Hold,
    HostName,
    HostStatus,
    Outcome,
    Quarantine,
    StepRecord,
)
from tests.adapters.test_history_sharing import begin
from tests.support.places import Place
from tests.support.postgresql import Cluster
from tests.support.wait import patience

KEANU = HostName("keanu")
ROOT = Path(__file__).parents[2]
DEADLINE = 60.0


def fill(history: History) -> None:
    """Record something of most kinds, with gaps in the numbers."""
    gone = begin(history, KEANU)
    attempt = begin(history, KEANU)
    for one in (gone, attempt):
        history.log(one.id, ["said", "größer"], now=0)
        history.step(one.id, StepRecord(name="copy", began_at=0, seconds=1.5))
        history.end(one.id, Outcome.SUCCEEDED, message="", now=1)
    status = HostStatus(host=KEANU, commit=CommitId("c"), updated_at=0, reachable=True)
    history.save_status(status)
    history.hold(Hold(host=KEANU, reason="why", actor="me", since=0.0, until=None))
    history.adopt(KEANU, now=0, actor="me")
    history.quarantine(
        Quarantine(
            host=KEANU,
            toplevel=attempt.target,
            reason="failed",
            since=0,
            attempt=attempt.id,
            failures=2,
        )
    )
    note = EvaluationNote(
        host=KEANU,
        commit=CommitId("c"),
        result=Evaluated.EVALUATED,
        reasons=("why",),
        at=0,
        seconds=1,
        memory=5 << 30,
    )
    history.lookings.note(note)
    for number in range(1200):
        history.deliveries.note([f"{number}"], now=0)
    history.event(now=0, kind="trust", text="the last one")


def rows(place: Place) -> dict[str, list[tuple[object, ...]]]:
    return {
        name: sorted(place.run(f'SELECT * FROM "{name}"'), key=repr)  # noqa: S608
        for name in metadata.tables
    }


def plain(found: dict[str, list[tuple[object, ...]]]) -> dict[str, list[str]]:
    """Return rows as text; SQLite has no truth values."""
    return {name: sorted(map(told, all_)) for name, all_ in found.items()}


def told(row: tuple[object, ...]) -> str:
    return repr([int(one) if isinstance(one, bool) else one for one in row])


def where(place: Place) -> str:
    return place.url or str(place.folder / "history.sqlite")


@pytest.fixture
def sqlite(tmp_path: Path) -> Place:
    place = Place(folder=tmp_path)
    with place.opened() as history:
        fill(history)
    # What was given out last is gone: its number must not come again.
    place.run("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")
    return place


@pytest.fixture
def new(tmp_path_factory: pytest.TempPathFactory, postgresql: Cluster) -> Place:
    return Place(folder=tmp_path_factory.mktemp("new"), url=postgresql.new())


def test_there_and_back_is_the_same(
    sqlite: Place, new: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    back = Place(folder=tmp_path_factory.mktemp("back"))

    counted = copy(where(sqlite), where(new))
    again = copy(where(new), where(back))

    assert counted == again == {name: len(all_) for name, all_ in rows(sqlite).items()}
    assert counted["deliveries"] == 1200
    assert plain(rows(sqlite)) == plain(rows(new)) == plain(rows(back))
    serials = []
    for place in (sqlite, new, back):
        with place.opened() as history:
            attempt = begin(history, KEANU)
            history.event(now=1, kind="trust", text="new")
            serials.append((history.orders_serial(), len(history.attempts())))
            assert history.attempt_log(attempt.id) == []
    assert serials[0] == serials[1] == serials[2]


def test_a_target_that_holds_anything_is_left_alone(sqlite: Place, new: Place) -> None:
    with new.opened() as history:
        history.event(now=0, kind="trust", text="mine")

    with pytest.raises(StateError, match=r"is not empty \(events\)"):
        copy(where(sqlite), where(new))

    assert len(new.run("SELECT * FROM events")) == 1
    assert new.run("SELECT * FROM attempts") == []


def test_an_order_that_is_given_meanwhile_is_not_run_over(
    sqlite: Place, new: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    new.open().close()
    writing = PostgreSQL.writing

    def late(
        database: PostgreSQL, *, durable: bool = False
    ) -> contextlib.AbstractContextManager[Connection]:
        new.run("INSERT INTO events (at, kind, actor, text) VALUES (0, 'hold', '', '')")
        return writing(database, durable=durable)

    monkeypatch.setattr(PostgreSQL, "writing", late)

    with pytest.raises(StateError, match=r"is not empty \(events\)"):
        copy(where(sqlite), where(new))


def test_a_new_file_is_for_its_owner_alone(sqlite: Place, tmp_path: Path) -> None:
    file = tmp_path / "new.sqlite"
    before = os.umask(0o022)
    try:
        copy(where(sqlite), str(file))
    finally:
        os.umask(before)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_dry_run_changes_nothing(sqlite: Place, new: Place, tmp_path: Path) -> None:
    absent = tmp_path / "absent.sqlite"

    counts = [copy(where(sqlite), to, dry_run=True) for to in (where(new), str(absent))]

    assert counts[0] == counts[1]
    assert counts[0]["attempts"] == 2
    assert not absent.exists()
    assert new.run("SELECT tablename FROM pg_tables WHERE schemaname='public'") == []


def test_a_daemon_at_either_end_is_in_the_way(sqlite: Place, new: Place) -> None:
    with new.opened() as history, history.only_daemon():
        with pytest.raises(StateError, match="the daemon's place is taken"):
            copy(where(sqlite), where(new))
        with pytest.raises(StateError, match="the daemon's place is taken"):
            copy(where(new), where(sqlite))


def test_the_command_says_what_it_did_and_no_password(
    sqlite: Place, new: Place
) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "reconciler", "database", "copy", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=patience(DEADLINE),
            check=False,
        )

    refused = run(where(sqlite), "postgresql://me:s3cret@localhost/x")
    done = run(where(sqlite), where(new), "--json")
    twice = run(where(sqlite), where(new))

    assert refused.returncode == 2
    assert "s3cret" not in refused.stderr + refused.stdout
    assert json.loads(done.stdout)["rows"]["deliveries"] == 1200, done.stderr
    assert twice.returncode == 1
    assert "is not empty" in twice.stderr


def test_a_dump_restores_all_of_it(
    sqlite: Place, new: Place, postgresql: Cluster, tmp_path: Path
) -> None:
    copy(where(sqlite), where(new))
    dump, restored = tmp_path / "dump.sql", postgresql.new()
    for program, *words in (
        ("pg_dump", f"--file={dump}", where(new)),
        ("psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={dump}", restored),
    ):
        subprocess.run(
            [str(postgresql.programs / program), *words],
            check=True,
            capture_output=True,
            timeout=patience(DEADLINE),
        )

    there = Place(folder=tmp_path / "other", url=restored)
    there.folder.mkdir()
    assert rows(there) == rows(new)
    with there.opened() as history:
        assert begin(history, KEANU) in history.unfinished()
