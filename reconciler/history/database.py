"""
The connection to the database: pragmas, transactions, and errors in our words.

SQLite in WAL mode, so that readers and the one writer do not wait for each other, in
this process or in another one. `reconciler.history.postgresql` is the other kind.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.pool import QueuePool

from reconciler.errors import StateError

BUSY_SECONDS = 30.0
"""How long a writer waits for another process that writes."""

_CACHE_KIB = 512  # per connection; the default of 2 MiB would be felt with ten workers


class Database:
    """One SQLite database, for any number of threads."""

    def __init__(self, engine: Engine, name: str, *, file: Path | None = None) -> None:
        self.name = name  # for people: the path, or the URL, which has no password
        self._engine = engine
        self._file = file
        self._opened: tuple[int, int] | None = None  # which file that was
        self._writing = threading.Lock()
        self._reading = _Reading()

    def close(self) -> None:
        """Close every connection; the last one folds SQLite's WAL back in."""
        self._engine.dispose()

    def opened(self) -> None:
        """Note which file this is, once it is there."""
        self._opened = _identity(self._file)

    def claim(
        self,
        what: str,  # noqa: ARG002
        *,
        fences: bool = False,  # noqa: ARG002
    ) -> contextlib.AbstractContextManager[None]:
        """
        Have *what* for this process alone, of all machines that share the database.

        If it *fences*, nothing is written any more once another machine has it. Raises
        ClaimedError, saying who has it, and StateError. Nobody but the machine
        itself shares a file, and there the locks in its directory do.
        """
        return contextlib.nullcontext()

    @property
    def shared(self) -> bool:
        """Whether several machines may work with it at once."""
        return False

    def apart(self) -> Connection:
        """
        Open a connection on which each statement is kept at once, without waiting.

        Whoever asks closes it. Raises StateError: only one that is shared has it.
        """
        message = f"{self.name}: workers share a PostgreSQL, and this is a file"
        raise StateError(message)

    def in_our_words(self) -> contextlib.AbstractContextManager[None]:
        """Have what the database says in the body be raised as StateError."""
        return self._in_our_words()

    def usurped(self) -> str:
        """Say so if another machine has taken what this process claimed."""
        return ""

    def problem(self) -> str:
        """
        Say so if the file that we write to is not the one that others find.

        SQLite goes on in a file that was removed, and all of it is lost at the end.
        """
        if self._opened is None or _identity(self._file) == self._opened:
            return ""
        return (
            f"{self.name} was removed or replaced while we use it: restart the daemon"
        )

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one state. Raises StateError."""
        if (already := self._reading.connection) is not None:
            yield already
            return
        with self._in_our_words(), self._reader().begin() as connection:
            yield connection

    def _reader(self) -> Engine:
        return self._engine

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """
        Have all that this thread reads be of one state, in one transaction.

        Nothing is written meanwhile: what follows would not see it. Raises StateError.
        """
        before = self._reading.connection
        with self.reading() as connection:
            self._reading.connection = connection
            try:
                yield
            finally:
                self._reading.connection = before

    @contextlib.contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[Connection]:
        """
        Open a transaction that is kept whole or not at all. Raises StateError.

        A crash of this program never loses one that ended; a power cut may lose the
        last ones, unless they were *durable*.
        """
        if self._reading.connection is not None:
            message = "nothing is written while a thread reads at once"
            raise RuntimeError(message)
        engine = self._engine.execution_options(write=True, durable=durable)
        # Threads queue here: SQLite itself would let them poll for the lock.
        with self._in_our_words(), self._writing, engine.begin() as connection:
            self._take(connection, durable=durable)
            yield connection

    def _take(self, connection: Connection, *, durable: bool) -> None:
        """Be the only one who writes; SQLite is told so where it begins."""

    def copy_to(self, ending: str) -> Path | None:
        """
        Keep a whole copy beside the file, under its name with *ending*.

        It is on the disk when this returns. A database elsewhere is for its own people
        to copy: None. Raises StateError.
        """
        if self._file is None:
            return None
        copy = self._file.with_name(f"{self._file.name}.{ending}")
        half = copy.with_name(f"{copy.name}.new")
        try:
            half.unlink(missing_ok=True)
            half.touch(mode=0o600)
            source = contextlib.closing(_open(self._file, "ro"))
            target = contextlib.closing(sqlite3.connect(half))
            with source as whole, target as written:
                whole.backup(written)
            _sync(half)
            half.replace(copy)
            _sync(copy.parent)
        except (sqlite3.Error, OSError) as error:
            with contextlib.suppress(OSError):
                half.unlink()
            message = (
                f"{self.name}: no copy of it can be kept at {copy}, so it is not"
                f" brought up to date: {error}"
            )
            raise StateError(message) from error
        return copy

    @contextlib.contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise  # a mistake of ours, not a state of the disk
        except (DBAPIError, NoConnectionError) as error:
            message = f"{self.name}: {self._told(error)}"
            raise StateError(message) from error

    def _told(self, error: DBAPIError | NoConnectionError) -> str:
        """Return what is wrong and what to do about it."""
        cause = getattr(error, "orig", None) or error
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # low byte: the family
        advice = _ADVICE.get(code)
        return f"{advice} ({cause})" if advice else str(cause)


class _Reading(threading.local):
    """The connection by which this thread reads at once, while it does."""

    connection: Connection | None = None


def _identity(file: Path | None) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        status = file.stat() if file else None
        return (status.st_dev, status.st_ino) if status else None
    return None


def file_of(url_or_path: str | Path) -> Path | None:
    """Return the file that a path or an SQLite URL means; None for other URLs."""
    if "://" not in str(url_or_path):
        return Path(url_or_path)
    scheme, _, path = str(url_or_path).partition(":///")
    return Path(path) if scheme == "sqlite" and path else None


def open_file(path: Path, *, read_only: bool = False) -> Database:
    """Return the SQLite database at *path*, made if need be. Raises StateError."""

    def connect() -> sqlite3.Connection:
        return _connect_to_read(path) if read_only else _connect(path)

    # One connection is kept; the others live while threads really write at once.
    engine = create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, pool_size=2, max_overflow=-1
    )
    event.listen(engine, "begin", _begin)
    return Database(engine, str(path), file=path)


def _sync(path: Path) -> None:
    """Have what was written reach the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    connection = _open(path, "rwc")
    try:
        _use_wal(connection)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        message = "the file system has no shared memory: use a local disk"
        raise sqlite3.OperationalError(message)


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """
    Open *path* without changing anything on disk.

    A WAL database wants a shared-memory file beside it even to be read. Where it
    cannot be made (a read-only file system) and no writer has left a WAL behind, the
    file alone is whole and may be read as immutable: https://sqlite.org/wal.html#readonly
    """
    connection = _open(path, "ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if not path.exists() or path.with_name(f"{path.name}-wal").exists():
            raise
        return _open(path, "ro&immutable=1")
    except BaseException:
        connection.close()
        raise
    return connection


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # `_begin` says when a transaction begins
        check_same_thread=False,  # the pool hands a connection to one thread at a time
    )


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("write"):
        connection.exec_driver_sql("BEGIN")
        return
    # Outside of a transaction, or it would not count for this one. With WAL, NORMAL
    # cannot damage the database: https://sqlite.org/pragma.html#pragma_synchronous
    level = "FULL" if options.get("durable") else "NORMAL"
    connection.exec_driver_sql(f"PRAGMA synchronous = {level}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_READONLY: "it cannot be written: check owner, mode and mount",
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened: check that the directory exists, and its owner and mode"
    ),
    sqlite3.SQLITE_PERM: "access is denied: check owner and mode",
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged: stop the reconciler, keep a copy, and either mend it with"
        " `sqlite3 FILE .recover` or move it away to begin a new history"
    ),
    sqlite3.SQLITE_NOTADB: (
        "it is not a database, or damaged: stop the reconciler, and move it away to"
        " begin a new history"
    ),
    sqlite3.SQLITE_BUSY: (
        f"another process has kept it locked for {BUSY_SECONDS:g} s: see who with"
        " `fuser`"
    ),
    sqlite3.SQLITE_IOERR: "the disk fails: look at the kernel's log",
}
