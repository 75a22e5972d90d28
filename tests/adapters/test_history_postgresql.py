"""History in a real PostgreSQL: who may use it, and what its absence costs."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from reconciler.errors import ClaimedError, HostBusyError, StateError
from reconciler.history import History, Sighting, claims, postgresql
from reconciler.history.answering import AnsweringConnection
from reconciler.history.postgresql import PostgreSQL
from reconciler.history.schema import REVISION, metadata
from reconciler.model import (
    CommitId,
    Evaluated,
    EvaluationNote,
    HostName,
    HostStatus,
    Outcome,
    StorePath,
    Verdict,
)
from tests.adapters.test_history_sharing import begin
from tests.support.places import Place
from tests.support.postgresql import Cluster, cluster
from tests.support.wait import patience, wait_until

KEANU = HostName("keanu")
DEADLINE = 60.0
SHORT = 0.5
DAEMON = """
import sys
from reconciler.history import open_history
from reconciler.settings import StateSettings
history = open_history(StateSettings.model_validate_json(sys.argv[1]))
with history.only_daemon():
    print("daemon", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, postgresql: Cluster) -> Place:
    return Place(folder=tmp_path, url=postgresql.new())


@pytest.fixture
def history(place: Place) -> Iterator[History]:
    with place.opened() as history:
        yield history


@pytest.fixture
def elsewhere(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return the same database as another machine has it."""
    return replace(place, folder=tmp_path_factory.mktemp("elsewhere"))


@contextlib.contextmanager
def daemon(place: Place) -> Iterator[subprocess.Popen[str]]:
    """Run a process that is the daemon, as far as history knows."""
    with subprocess.Popen(
        [sys.executable, "-c", DAEMON, place.words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "daemon\n"
            yield child
        finally:
            child.kill()


# --- one of all machines ---------------------------------------------------------


def test_a_second_daemon_is_refused_until_the_first_is_gone(
    history: History, elsewhere: Place
) -> None:
    with daemon(elsewhere) as first:
        with (
            pytest.raises(ClaimedError, match=rf"process {first.pid} on "),
            history.only_daemon(),
        ):
            pytest.fail("both are")

        first.send_signal(signal.SIGKILL)
        first.wait(patience(DEADLINE))

        wait_until(lambda: became(history), DEADLINE, "its place to be free")


def became(history: History) -> bool:
    with contextlib.suppress(ClaimedError), history.only_daemon():
        return True
    return False


def test_a_host_is_held_against_other_machines(
    history: History, elsewhere: Place
) -> None:
    with elsewhere.opened() as other:
        attempt = begin(other, KEANU)
        with other.lock(KEANU):
            with (
                pytest.raises(HostBusyError, match=r"keanu.*process \d+ on "),
                history.lock(KEANU),
            ):
                pytest.fail("both hold it")
            assert history.interrupt(now=1) == []
            with history.lock(HostName("lufta")):
                pass

        (ended,) = history.interrupt(now=2)

    assert (ended.id, ended.outcome) == (attempt.id, Outcome.INTERRUPTED)


def test_who_was_cut_off_and_replaced_writes_nothing(
    history: History, elsewhere: Place, postgresql: Cluster
) -> None:
    with history.only_daemon(), elsewhere.opened() as other:
        history.save_evaluation("key", "mine", now=0)
        assert history.usurped() == ""
        # PostgreSQL ends the session that has the claim, as it does where the machine
        # is not heard any more.
        postgresql.run(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )
        with other.only_daemon():
            with pytest.raises(ClaimedError, match="the daemon's place is taken by"):
                history.save_evaluation("key", "late", now=1)
            assert "process" in history.usurped()
            other.save_evaluation("key", "theirs", now=1)

        assert history.evaluation("key") == "theirs"
        # What it knows is old: it ends, and begins afresh.
        assert "process" in history.usurped()
    history.save_evaluation("key", "mine", now=2)


def test_a_claim_that_could_not_be_had_again_is_asked_for_once_more(
    history: History,
    elsewhere: Place,
    postgresql: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where PostgreSQL answers who we are, and is too slow for what we had."""
    with history.only_daemon(), elsewhere.opened() as other:
        postgresql.run(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )
        with monkeypatch.context() as slow:
            slow.setattr(claims, "_TAKE", text("SELECT 1 / (:key - :key)"))
            assert history.usurped() == ""

        history.save_evaluation("key", "mine", now=0)

        with pytest.raises(ClaimedError), other.only_daemon():
            pass


def test_a_session_that_ended_under_a_claim_costs_no_later_one(
    history: History, postgresql: Cluster
) -> None:
    """It was noticed where the claim was given back, and all others failed since."""
    with history.lock(KEANU):
        postgresql.run(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        )

    with history.lock(KEANU):
        pass


# --- away ------------------------------------------------------------------------


def test_a_restart_of_postgresql_costs_nothing(tmp_path: Path) -> None:
    with cluster() as own:
        place = Place(folder=tmp_path, url=own.new())
        with (
            place.opened() as history,
            history.only_daemon(),
            history.lock(KEANU),
            ThreadPoolExecutor(1) as pool,
        ):
            attempt = begin(history, KEANU)
            own.stop()
            writing = pool.submit(history.log, attempt.id, ["while away"], now=0)
            own.start()
            writing.result(patience(DEADLINE))

            assert history.attempt_log(attempt.id) == ["while away"]
            assert history.usurped() == ""
            # A crash loses nothing either, and what was claimed is claimed again.
            own.stop(signal.SIGQUIT)
            own.start()
            history.log(attempt.id, ["after a crash"], now=0)
            elsewhere = replace(place, folder=tmp_path / "elsewhere")
            elsewhere.folder.mkdir()
            with elsewhere.opened() as other:
                with pytest.raises(ClaimedError), other.only_daemon():
                    pytest.fail("both are")
                with pytest.raises(HostBusyError), other.lock(KEANU):
                    pytest.fail("both hold it")

            assert history.attempt_log(attempt.id) == ["while away", "after a crash"]
            assert [one.id for one in history.unfinished()] == [attempt.id]


def test_one_that_stays_away_is_told_and_works_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "AWAY_SECONDS", SHORT)
    with cluster() as own:
        place = Place(folder=tmp_path, url=own.new())
        with place.opened() as history:
            attempt = begin(history, KEANU)
            own.stop()
            for act in (
                lambda: history.log(attempt.id, ["lost"], now=0),
                lambda: history.attempt_log(attempt.id),
                history.only_daemon().__enter__,
            ):
                with pytest.raises(StateError, match="cannot be reached") as told:
                    act()
                assert str(told.value).startswith(f"{place.url}: ")
                assert "\n" not in str(told.value)
            own.start()

            history.log(attempt.id, ["there again"], now=0)
            assert history.attempt_log(attempt.id) == ["there again"]


def test_a_frozen_one_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "AWAY_SECONDS", 0.0)
    with cluster() as own:
        place = Place(folder=tmp_path, url=f"{own.new()}&connect_timeout=2")
        with place.opened() as history:
            history.save_evaluation("key", "text", now=0)
            monkeypatch.setattr(AnsweringConnection, "answer_seconds", SHORT)
            own.signal(signal.SIGSTOP)
            try:
                with pytest.raises(StateError):
                    history.evaluation("key")
            finally:
                own.signal(signal.SIGCONT)
            monkeypatch.undo()

            assert history.evaluation("key") == "text"


# --- who is let in ---------------------------------------------------------------


def test_a_password_comes_from_a_file_and_is_never_told(
    tmp_path: Path, postgresql: Cluster
) -> None:
    postgresql.run("CREATE ROLE guarded LOGIN PASSWORD 'tr0ub4dor'")
    postgresql.run("CREATE DATABASE guarded OWNER guarded TEMPLATE template0")
    passwords = tmp_path / "pgpass"
    url = (
        f"postgresql://guarded@127.0.0.1:{postgresql.port}/guarded?passfile={passwords}"
    )
    place = Place(folder=tmp_path, url=url)
    told: list[str] = []
    for content in ("", "*:*:*:*:wr0ng-one\n"):
        passwords.write_text(content)
        passwords.chmod(0o600)
        with pytest.raises(StateError, match="does not let us in") as refused:
            place.open()
        told.append(str(refused.value))

    passwords.write_text("*:*:*:*:tr0ub4dor\n")
    with place.opened() as history:
        history.save_evaluation("key", "text", now=0)
        assert history.evaluation("key") == "text"

    assert "password" in told[0]
    assert "wr0ng-one" not in told[1]
    assert "authentication failed" in told[1]


def test_a_password_in_a_url_is_never_shown() -> None:
    for url in (
        "postgresql://me:s3cret@db.example.org/x",
        "postgresql://me@db.example.org/x?password=s3cret&application_name=y",
        "postgresql://me:s3c:ret@db.example.org/x?sslpassword=s3cret",
    ):
        assert "s3c" not in postgresql.shown(url)
        assert "db.example.org" in postgresql.shown(url)


def test_without_psycopg_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "reconciler.history.answering")

    with pytest.raises(StateError, match=r"install `reconciler\[postgresql\]`"):
        Place(folder=tmp_path, url="postgresql:///history").open()


# --- what it keeps ---------------------------------------------------------------


def test_the_schema_is_ours(history: History, place: Place) -> None:
    assert place.url is not None
    database = PostgreSQL(place.url)
    with database.reading() as connection:
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, metadata)
    database.close()

    assert differences == []
    assert history.statuses() == []


def test_a_migration_runs_once_whoever_comes_first(
    place: Place, newer: Callable[[str], None]
) -> None:
    place.open().close()
    newer("CREATE TABLE more (a TEXT)")
    with ThreadPoolExecutor(4) as pool:
        for history in pool.map(lambda _: place.open(), range(4)):
            history.close()

    assert place.run("SELECT version_num FROM alembic_version") == [("9998",)]
    assert place.run("SELECT * FROM more") == []


def test_a_migration_that_fails_leaves_all_as_it_was(
    place: Place, newer: Callable[[str], None]
) -> None:
    place.open().close()
    newer("CREATE TABLE more (a TEXT); CREATE TABLE statuses (host TEXT)")

    with pytest.raises(StateError, match="statuses"):
        place.open()

    assert place.run("SELECT version_num FROM alembic_version") == [(REVISION,)]
    assert place.run("SELECT to_regclass('more')") == [(None,)]


def test_a_database_of_another_program_is_refused(place: Place) -> None:
    place.run("CREATE TABLE bookmarks (url TEXT)")

    with pytest.raises(StateError, match="another program"):
        place.open()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_keep_every_text_is_refused(
    encoding: str, tmp_path: Path, postgresql: Cluster
) -> None:
    """At once, and not in the middle of an attempt that logs another letter."""
    place = Place(folder=tmp_path, url=postgresql.new(f"ENCODING '{encoding}'"))

    with pytest.raises(StateError, match=f"is {encoding}.*createdb --encoding UTF8"):
        place.open()

    assert place.run("SELECT tablename FROM pg_tables WHERE schemaname='public'") == []


def test_a_nul_that_a_host_says_costs_nothing(history: History) -> None:
    odd = StorePath("/nix/store/o\0dd")
    attempt = begin(history, KEANU)
    history.log(attempt.id, ["a\0b"], now=1)
    history.save_status(
        HostStatus(host=KEANU, commit=CommitId("c"), updated_at=0.0, running=odd)
    )
    seen = Sighting(machine_id="i\0d", boot_id="b\0", began_at=0.0, ended_at=1.0)
    history.machines.meet(KEANU, seen)
    history.machines.meet(HostName("lufta"), seen)
    history.save_evaluation("k\0", "t\0", now=0)

    assert history.evaluation("k\0") == r"t\x00"
    assert [one.running for one in history.statuses()] == [r"/nix/store/o\x00dd"]


def test_an_unused_one_is_not_written_by_who_only_reads(place: Place) -> None:
    with pytest.raises(StateError, match="is empty: start the daemon"):
        place.open(read_only=True)

    assert place.run("SELECT tablename FROM pg_tables WHERE schemaname='public'") == []


def test_order_does_not_depend_on_a_language(
    tmp_path: Path, postgresql: Cluster
) -> None:
    url = postgresql.new("LOCALE_PROVIDER icu ICU_LOCALE 'en'")
    with Place(folder=tmp_path, url=url).opened() as history:
        for name in ("a", "B", "c"):
            status = HostStatus(
                host=HostName(name), commit=CommitId("c"), updated_at=0.0
            )
            history.save_status(status)

        assert [one.host for one in history.statuses()] == ["B", "a", "c"]


def test_memory_of_an_evaluation_may_be_more_than_two_gibibytes(
    history: History,
) -> None:
    note = EvaluationNote(
        host=KEANU,
        commit=CommitId("c"),
        result=Evaluated.EVALUATED,
        reasons=(),
        at=0.0,
        seconds=1.0,
        memory=9 << 30,
    )
    history.lookings.note(note)

    assert history.lookings.note_of(KEANU) == note


def test_what_is_looked_up_before_writing_holds_for_all_machines(
    place: Place, elsewhere: Place
) -> None:
    """Each reads what is there and adds to it: none may be lost."""
    one, two = place.open(), elsewhere.open()
    histories = [one, two] * 8

    def lines(history: History) -> None:
        for _ in range(5):
            history.log(attempt.id, ["x"], now=0)

    attempt = one.begin(
        host=KEANU,
        commit=CommitId("c"),
        verdict=Verdict.DEPLOY,
        source=None,
        target=begin(one, KEANU).target,
        now=0,
    )
    with ThreadPoolExecutor(len(histories)) as pool:
        list(pool.map(lines, histories))

    assert one.attempt_log(attempt.id) == ["x"] * 80
    one.close()
    two.close()


def test_as_many_connections_as_there_may_be(
    history: History, postgresql: Cluster, place: Place
) -> None:
    with ThreadPoolExecutor(40) as pool:
        list(pool.map(lambda _: history.statuses(), range(200)))

    rows = postgresql.run("SELECT count(*) FROM pg_stat_activity", place.url or "")
    assert int(str(rows[0][0])) < 40


def test_a_connection_tells_whose_it_is(history: History, place: Place) -> None:
    assert history.statuses() == []
    with psycopg.connect(place.url or "") as there:
        names = there.execute("SELECT application_name FROM pg_stat_activity")
        assert any(", process" in str(name) for (name,) in names)
