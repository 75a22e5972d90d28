"""Copies all of history from one database to another, of whichever kinds they are."""

import contextlib
import fcntl
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import Connection, Table, func, insert, inspect, select, text

from reconciler.errors import StateError
from reconciler.history import migrate
from reconciler.history.database import Database, file_of
from reconciler.history.schema import metadata
from reconciler.history.store import DAEMON, database_at

AT_ONCE = 500
"""Rows that are in memory at a time."""


def copy(source: str, target: str, *, dry_run: bool = False) -> dict[str, int]:
    """
    Copy every table from *source* to *target*, paths or URLs; return their rows.

    All or nothing, and numbers that were given out are given out by neither again.
    Raises StateError: where a daemon has one of them, the target holds anything, or the
    source is not of this version.
    """
    with _alone(source, read_only=True) as old, old.reading() as reader:
        migrate.require_current(old)
        if dry_run and _is_absent(target):
            return _counts(reader)
        with _alone(target, read_only=dry_run) as new:
            if dry_run:
                with new.reading() as there:
                    _require_empty(there, new.name)
                return _counts(reader)
            migrate.bring_up_to_date(new)
            with new.writing(durable=True) as writer:
                # Asked here: a person may give orders without a daemon.
                _require_empty(writer, new.name)
                return {
                    table.name: _copied(table, reader, writer)
                    for table in metadata.sorted_tables
                }


@contextlib.contextmanager
def _alone(where: str, *, read_only: bool) -> Iterator[Database]:
    """Open a database that no daemon works with meanwhile."""
    with contextlib.ExitStack() as held:
        file = file_of(where)
        if file is not None:
            _require_no_daemon(file, held)
            if not read_only:
                _make_private(file)
        database = database_at(where, read_only=read_only)
        held.callback(database.close)
        held.enter_context(database.claim(DAEMON))
        yield database


def _require_no_daemon(file: Path, held: contextlib.ExitStack) -> None:
    """Hold the lock of the daemon whose state directory has *file*, if there is one."""
    path = file.parent / "daemon.lock"
    try:
        lock = held.enter_context(path.open("r"))
    except FileNotFoundError:
        return
    except OSError as error:
        message = f"cannot open {path}: {error.strerror}"
        raise StateError(message) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = f"{file}: a daemon works with it ({lock.read().strip()}): stop it"
        raise StateError(message) from None


def _make_private(file: Path) -> None:
    """Make a new file for its owner alone: it may lie where everybody gets at."""
    with contextlib.suppress(OSError):  # told where it is opened
        file.touch(mode=0o600)


def _is_absent(where: str) -> bool:
    file = file_of(where)
    return file is not None and not file.exists()


def _require_empty(connection: Connection, name: str) -> None:
    there = set(inspect(connection).get_table_names())
    ours = [table for table in metadata.sorted_tables if table.name in there]
    other = there - {*metadata.tables, migrate.versions.name}
    full = [table.name for table in ours if _count(connection, table)]
    if full or other:
        message = (
            f"{name} is not empty ({', '.join(sorted({*full, *other}))}):"
            " name a new database, or empty this one"
        )
        raise StateError(message)


def _counts(connection: Connection) -> dict[str, int]:
    return {table.name: _count(connection, table) for table in metadata.sorted_tables}


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _copied(table: Table, reader: Connection, writer: Connection) -> int:
    """Copy a table; return how many rows it has."""
    order = list(table.primary_key.columns)
    rows = reader.execution_options(yield_per=AT_ONCE).execute(
        select(table).order_by(*order)
    )
    count = 0
    for some in rows.mappings().partitions(AT_ONCE):
        values: list[Mapping[str, object]] = [dict(row) for row in some]
        writer.execute(insert(table), values)
        count += len(values)
    if "seq" in table.columns:
        _set_counter(writer, table, _counter(reader, table))
    return count


def _counter(connection: Connection, table: Table) -> int:
    """Return the highest number that a table ever gave out."""
    if connection.dialect.name == "sqlite":
        query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        found = connection.execute(query, {"name": table.name}).scalar()
        return int(found or 0)
    name = connection.dialect.identifier_preparer.format_table(table)
    sequence = text("SELECT pg_get_serial_sequence(:name, 'seq')")
    found = connection.execute(sequence, {"name": name}).scalar_one()
    given = f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {found}"  # noqa: S608 -- its own name
    return int(connection.execute(text(given)).scalar_one())


def _set_counter(connection: Connection, table: Table, number: int) -> None:
    """Have a table go on behind *number*."""
    if not number:
        return
    known = {"name": table.name, "number": number}
    if connection.dialect.name == "sqlite":
        gone = text("DELETE FROM sqlite_sequence WHERE name = :name")
        connection.execute(gone, {"name": table.name})
        given = "INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :number)"
        connection.execute(text(given), known)
        return
    sequence = text("SELECT setval(pg_get_serial_sequence(:name, 'seq'), :number)")
    connection.execute(sequence, known)
