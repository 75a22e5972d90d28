"""Which databases history takes, and what schema it gives them."""

import contextlib
import sqlite3
from collections.abc import Callable
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
from reconciler.model import HostName, Mode
from reconciler.settings import PolicySettings, RepositorySettings, Settings
from reconciler.world import settle_mode, unset_mode

OLDEST = Path(__file__).with_name("schema_0007.sql")
SETTINGS = Settings(repository=RepositorySettings(url="/srv/git"))
ATTEMPT = """
INSERT INTO attempts (id, host, verdict, outcome, commit_id, target, owner, began_at,
  message, log_lines, log_head_lines, log_head_size, log_tail_size)
VALUES (?, ?, ?, ?, 'c', 't', 'o', 1, '', 0, 0, 0, 0)
"""


def schema_of(file: Path) -> list[tuple[str, ...]]:
    with sqlite3.connect(file) as connection:
        rows = connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
        ).fetchall()
    connection.close()
    return rows


def oldest(file: Path) -> Path:
    """Make a database as the first version that anybody has made it."""
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(OLDEST.read_text())
    connection.close()
    return file


def migrated(file: Path) -> Path:
    """Make a database by running every migration, from the first on."""
    History.open(oldest(file)).close()
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
    """
    Down to the text: a new one is made without running them.

    A change of the schema needs a migration; what the first version made stays.
    """
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


@pytest.mark.parametrize("deployed", [True, False], ids=["deployed", "only looked at"])
def test_an_upgrade_asks_about_no_host_that_was_served_before(
    tmp_path: Path, *, deployed: bool
) -> None:
    """And what settings mean that say nothing of the mode stays, where it mattered."""
    file = oldest(tmp_path / "history.sqlite")
    if deployed:
        change(file, "INSERT INTO confirmed VALUES ('keanu', 'c', '{}', '[]')")
        for host, verdict, outcome in (
            ("lufta", "deploy", "succeeded"),
            ("chrysalis", "deploy", "rolled-back"),
        ):
            with sqlite3.connect(file) as connection:
                connection.execute(ATTEMPT, (host, host, verdict, outcome))
            connection.close()

    with contextlib.closing(History.open(file)) as history:
        hosts = [HostName(name) for name in ("keanu", "lufta", "chrysalis")]
        adopted = [history.is_adopted(host) for host in hosts]
        mode = unset_mode(history)
        settle_mode(SETTINGS, history)
        settled = unset_mode(history)

    assert adopted == [deployed, deployed, False]
    assert mode is (Mode.AUTO if deployed else Mode.REPORT)
    assert settled is mode, "the settings say nothing of it"


def test_unset_means_the_default_once_a_mode_was_told(tmp_path: Path) -> None:
    """Else who takes `mode: report` out later would find hosts changed."""
    file = oldest(tmp_path / "history.sqlite")
    change(file, "INSERT INTO confirmed VALUES ('keanu', 'c', '{}', '[]')")
    told = SETTINGS.model_copy(update={"policy": PolicySettings(mode=Mode.REPORT)})

    with contextlib.closing(History.open(file)) as history:
        settle_mode(told, history)

        assert unset_mode(history) is Mode.REPORT
        assert history.is_adopted(HostName("keanu"))


def test_a_migration_runs_and_keeps_a_copy_from_before(
    tmp_path: Path, newer: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that going back to the version before is possible."""
    file = tmp_path / "history.sqlite"
    with contextlib.closing(History.open(file)) as history:
        history.save_evaluation("key", "text", now=0)
    newer("CREATE TABLE more (a TEXT)")

    with contextlib.closing(History.open(file)) as history:
        assert history.evaluation("key") == "text"
    History.open(file).close()

    assert "more" in {name for _, name, *_ in schema_of(file)}
    copy = tmp_path / f"history.sqlite.schema-{REVISION}"
    assert copy.stat().st_mode & 0o777 == 0o600
    copies = sorted(path.name for path in tmp_path.glob("history.sqlite.*"))
    assert copies == [copy.name]
    monkeypatch.undo()
    copy.replace(file)
    with contextlib.closing(History.open(file)) as history:
        assert history.evaluation("key") == "text"


def test_without_room_for_a_copy_nothing_is_migrated(
    tmp_path: Path, newer: Callable[[str], None]
) -> None:
    file = tmp_path / "history.sqlite"
    History.open(file).close()
    before = schema_of(file)
    newer("CREATE TABLE more (a TEXT)")
    (tmp_path / f"history.sqlite.schema-{REVISION}.new").mkdir()

    with pytest.raises(StateError, match="no copy of it can be kept"):
        History.open(file)

    assert schema_of(file) == before


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    tmp_path: Path, newer: Callable[[str], None]
) -> None:
    file = tmp_path / "history.sqlite"
    History.open(file).close()
    before = schema_of(file)
    newer("CREATE TABLE more (a TEXT); CREATE TABLE statuses (host TEXT)")

    with pytest.raises(StateError, match="statuses"):
        History.open(file)

    assert schema_of(file) == before


def test_a_database_from_before_the_first_release_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    History.open(file).close()
    change(file, "UPDATE alembic_version SET version_num = '0006'")

    for read_only in (False, True):
        with pytest.raises(StateError, match="before the first release"):
            History.open(file, read_only=read_only)


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
    tmp_path: Path, newer: Callable[[str], None]
) -> None:
    file = tmp_path / "history.sqlite"
    History.open(file).close()
    newer("CREATE TABLE more (a TEXT)")

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
