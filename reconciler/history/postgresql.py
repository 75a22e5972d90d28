"""
A PostgreSQL database: connections, transactions, and errors in our words.

One writes at a time, as in SQLite: what a transaction that writes has looked up holds
until its end, for all processes and machines. Readers wait for nobody, and see one
state. A database that is away is waited for, as a SQLite file is that another process
has locked, so that a restart of PostgreSQL costs a moment and no attempt.
"""

import contextlib
import functools
import importlib
import os
import platform
import re
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError
from sqlalchemy.pool import NullPool, QueuePool
from typing_extensions import override

from reconciler.errors import StateError
from reconciler.history.claims import Claims
from reconciler.history.database import BUSY_SECONDS, Database
from reconciler.history.this_process import process_id

if TYPE_CHECKING:
    from reconciler.history.answering import AnsweringConnection

AWAY_SECONDS = 20.0
"""How long a database is waited for that was there before."""

RETRY_SECONDS = 0.2

_LIMITS = (BUSY_SECONDS, 50.0)  # for the lock of who writes, and for each statement
_NAME_LIMIT = 63  # bytes of an application's name that PostgreSQL keeps

MOST_CONNECTIONS = 20
"""At once; PostgreSQL takes a hundred, of all its clients."""

_WRITER = int.from_bytes(b"reconcil", "big")  # the lock of whoever writes
_FROZEN = "8s"  # after which PostgreSQL lets go of who writes and is silent
_OWN = text(
    f"SELECT set_config('idle_in_transaction_session_timeout', '{_FROZEN}', true),"
    " pg_advisory_xact_lock(:writer),"
    " CASE WHEN :durable AND current_setting('synchronous_commit') = 'off'"
    " THEN set_config('synchronous_commit', 'on', true) END"
)
_SESSION = """
    SELECT set_config(name, value, false) FROM pg_settings JOIN (VALUES
        ('lock_timeout', %s), ('statement_timeout', %s),
        ('idle_session_timeout', '0'), ('tcp_keepalives_idle', '5'),
        ('tcp_keepalives_interval', '2'), ('tcp_keepalives_count', '3')
    ) AS wanted (name, value) USING (name)
"""
"""Also how soon PostgreSQL hears that our machine is gone, and ends our claims."""

_LIBPQ = {
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
_PASSWORD = re.compile(r"(://[^/@\s]*?:)[^@\s]*@|((?:ssl)?password=)[^&\s]*")

_ADVICE = {
    "25006": "it cannot be written: it is a standby, or was opened to be read",
    "42501": "our role may not: make it the owner of the database",
    "53100": "the disk of PostgreSQL is full: free some space",
    "53300": "PostgreSQL has too many connections: raise max_connections",
    "55P03": (
        f"another process has kept it locked for {BUSY_SECONDS:g} s: see who in"
        " pg_stat_activity"
    ),
    "57014": "PostgreSQL was too slow, or somebody cancelled the command",
    "57P01": "PostgreSQL ends, or somebody ended our session",
}
_UNREACHED = (
    "PostgreSQL cannot be reached, or does not let us in: see that it runs, and that"
    " `psql URL` works for this user"
)


class PostgreSQL(Database):
    """One PostgreSQL database, for any number of threads."""

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        _driver(url)
        self._there = threading.Event()  # it could be used once
        connect = functools.partial(_connect, url, self._there)
        engine = create_engine(
            "postgresql+psycopg://",
            creator=connect,
            poolclass=QueuePool,
            pool_size=2,
            max_overflow=MOST_CONNECTIONS - 2,
            pool_timeout=BUSY_SECONDS,
            pool_pre_ping=True,  # PostgreSQL may have been restarted meanwhile
            execution_options={"postgresql_readonly": True} if read_only else {},
        )
        super().__init__(engine, shown(url))
        self._snapshots = engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        apart = create_engine(
            "postgresql+psycopg://",
            creator=connect,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
        )
        self._apart = apart
        self._claims = Claims(apart.connect, self.name)

    @override
    def close(self) -> None:
        self._claims.close()
        super().close()

    @override
    def opened(self) -> None:
        self._there.set()

    @override
    def _reader(self) -> Engine:
        return self._snapshots

    @override
    @contextlib.contextmanager
    def claim(self, what: str, *, fences: bool = False) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            with self._in_our_words():
                held.enter_context(self._claims.hold(what, fences=fences))
            yield

    @property
    @override
    def shared(self) -> bool:
        return True

    @override
    def apart(self) -> Connection:
        with self._in_our_words():
            return self._apart.connect()

    @override
    def usurped(self) -> str:
        return self._claims.usurped()

    @override
    def _take(self, connection: Connection, *, durable: bool) -> None:
        connection.execute(_OWN, {"writer": _WRITER, "durable": durable})
        self._claims.require(connection)

    @override
    def _told(self, error: DBAPIError | NoConnectionError) -> str:
        cause = getattr(error, "orig", None) or error
        said = _PASSWORD.sub(_masked, " ".join(str(cause).split()))
        state = getattr(cause, "sqlstate", None)
        advice = _ADVICE.get(state or "")
        if advice is None and state is None and isinstance(error, OperationalError):
            advice = _UNREACHED
        return f"{advice} ({said})" if advice else said


def shown(url: str) -> str:
    """Return *url* as people may see it; one of the settings has no password."""
    return _PASSWORD.sub(_masked, url)


def _masked(found: re.Match[str]) -> str:
    return f"{found[1]}***@" if found[1] else f"{found[2]}***"


def _connect(url: str, there: threading.Event) -> "AnsweringConnection":
    """Connect; wait for what was *there* once. Raises StateError, psycopg.Error."""
    answering = _driver(url)
    give_up = time.monotonic() + (AWAY_SECONDS if there.is_set() else 0.0)
    while True:
        try:
            return _session(url, answering.AnsweringConnection)
        except answering.psycopg.OperationalError:
            if time.monotonic() >= give_up:
                raise
        time.sleep(RETRY_SECONDS)


def _session(url: str, kind: "type[AnsweringConnection]") -> "AnsweringConnection":
    given: dict[str, Any] = {
        **_LIBPQ,
        **_parameters(url),
        "client_encoding": "utf8",
        "application_name": session_name(),
    }
    connection = kind.connect(url, **given)
    try:
        _require_unicode(connection, url)
        milliseconds = [str(round(seconds * 1000)) for seconds in _LIMITS]
        connection.autocommit = True
        connection.execute(_SESSION, milliseconds)
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise
    return connection


def session_name() -> str:
    """Return what PostgreSQL calls the connections of this process, and no others."""
    name = f"reconciler {process_id()}, process {os.getpid()} on {platform.node()}"
    return name.encode()[:_NAME_LIMIT].decode(errors="ignore")


def _require_unicode(connection: "AnsweringConnection", url: str) -> None:
    """Raise StateError for a database that cannot keep every text."""
    found = connection.info.parameter_status("server_encoding")
    if found != "UTF8":
        message = (
            f"{shown(url)}: its encoding is {found}, which cannot keep what hosts and"
            " commits say: make a database with `createdb --encoding UTF8 --template"
            " template0`, and name that"
        )
        raise StateError(message)


def _parameters(url: str) -> dict[str, str]:
    """Return what *url* itself says of what we have defaults for."""
    given = dict(parse_qsl(url.partition("?")[2]))
    return {name: value for name, value in given.items() if name in _LIBPQ}


def _driver(url: str) -> Any:  # noqa: ANN401 -- a module, which may not be there
    try:
        return importlib.import_module("reconciler.history.answering")
    except ImportError as error:
        message = (
            f"{shown(url)}: PostgreSQL needs psycopg, which cannot be loaded ({error}):"
            " install `reconciler[postgresql]`, on NixOS the package with"
            " `withPostgreSQL = true`"
        )
        raise StateError(message) from error
