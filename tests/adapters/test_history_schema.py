"""Which databases history takes, and what schema it gives them."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from reconciler.errors import StateError
from reconciler.history import History, migrate
from reconciler.history.database import open_file
from reconciler.history.schema import REVISION, metadata


def schema_of(file: Path) -> list[tuple[str, ...]]:
    with sqlite3.connect(file) as connection:
        rows = connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
        ).fetchall()
    connection.close()
    return rows


def migrated(file: Path) -> Path:
    """Make a database by running every migration, from the first on."""
    database = open_file(file)
    with database.writing() as connection:
        migrate.upgrade(connection)
    database.close()
    return file


def change(file: Path, sql: str) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute(sql)
    connection.close()


def test_the_migrations_make_what_the_schema_says(tmp_path: Path) -> None:
    database = open_file(migrated(tmp_path / "history.sqlite"))
    with database.reading() as connection:
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, metadata)
    database.close()

    assert differences == []


def test_a_new_database_is_what_the_migrations_make(tmp_path: Path) -> None:
    """Down to the text: a new one is made without running them."""
    new = tmp_path / "new.sqlite"
    History.open(new).close()

    assert schema_of(new) == schema_of(migrated(tmp_path / "migrated.sqlite"))


def test_the_newest_migration_is_the_one_we_know() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)

    assert scripts.get_heads() == [REVISION]
    # The order of the numbers is the order of the migrations.
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)
    assert all(len(revision) == 4 and revision.isdecimal() for revision in revisions)


def test_a_migrated_database_opens_and_works(tmp_path: Path) -> None:
    history = History.open(migrated(tmp_path / "history.sqlite"))
    history.save_evaluation("key", "text", now=0)

    assert history.evaluation("key") == "text"
    history.close()


def test_what_was_seen_before_keys_were_known_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    database = open_file(file)
    with database.writing() as connection:
        migrate.upgrade(connection, to="0001")
    database.close()
    change(
        file,
        "INSERT INTO statuses VALUES ('keanu', 'c', 7.0, NULL, 1, NULL, NULL,"
        """ '[{"kind": "unit-stopped", "subject": "a.service", "desired": "active","""
        """ "observed": "inactive", "effect": "start", "lasting": false}]',"""
        " 5.0, 3, 2, '', '[]', '')",
    )

    history = History.open(file)

    (status,) = history.statuses()
    assert (status.host, status.drift_since, status.units_desired) == ("keanu", 5.0, 3)
    assert status.drifts[0].restarts == ()
    assert (status.keys_desired, status.keys_present) == (0, 0)
    assert history.delivered(status.host) == frozenset()
    history.close()
    assert schema_of(file) == schema_of(migrated(tmp_path / "new.sqlite"))


def test_migrations_are_run_on_an_older_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "history.sqlite"
    History.open(file).close()
    change(file, "UPDATE alembic_version SET version_num = '0000'")
    upgraded = []
    monkeypatch.setattr(migrate, "upgrade", upgraded.append)

    History.open(file).close()

    assert len(upgraded) == 1


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    tmp_path: Path,
) -> None:
    file = tmp_path / "history.sqlite"
    # The first migration meets one of its later tables: it must not leave the others.
    change(file, "CREATE TABLE statuses (host TEXT)")
    before = schema_of(file)
    database = open_file(file)

    with pytest.raises(StateError, match="statuses"), database.writing() as connection:
        migrate.upgrade(connection)

    database.close()
    assert schema_of(file) == before


def test_a_database_of_a_newer_version_is_refused_and_not_touched(
    tmp_path: Path,
) -> None:
    file = tmp_path / "history.sqlite"
    History.open(file).close()
    change(file, "UPDATE alembic_version SET version_num = '9999'")
    before = file.read_bytes()

    for read_only in (False, True):
        with pytest.raises(StateError, match=r"history\.sqlite.*newer.*9999"):
            History.open(file, read_only=read_only)

    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE bookmarks (url TEXT)",
        "CREATE TABLE alembic_version (version_num TEXT)",
    ],
)
def test_a_database_of_another_program_is_refused(tmp_path: Path, sql: str) -> None:
    file = tmp_path / "other.sqlite"
    change(file, sql)

    with pytest.raises(StateError, match="another program"):
        History.open(file)


def test_an_older_database_cannot_be_read_without_migrating_it(
    tmp_path: Path,
) -> None:
    file = tmp_path / "history.sqlite"
    History.open(file).close()
    change(file, "UPDATE alembic_version SET version_num = '0000'")

    with pytest.raises(StateError, match="start the daemon once"):
        History.open(file, read_only=True)


def test_it_is_in_wal_mode_with_foreign_keys(tmp_path: Path) -> None:
    database = open_file(tmp_path / "history.sqlite")
    with database.writing() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    with database.writing(durable=True) as connection:
        durable = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    database.close()

    assert pragmas == {
        "journal_mode": "wal",
        "foreign_keys": 1,
        "synchronous": 1,  # NORMAL
        "busy_timeout": 30_000,
    }
    assert durable == 2  # FULL


def test_a_url_of_a_file_is_a_path(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    History.open(f"sqlite:///{file}").close()

    assert file.read_bytes()[18] == 2  # WAL: https://sqlite.org/fileformat.html


def test_a_database_elsewhere_needs_a_directory_for_locks() -> None:
    with pytest.raises(ValueError, match="locks"):
        History.open("postgresql://db.example.org/history")
