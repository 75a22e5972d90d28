"""
The line of a worker to the database: it says that it lives, and hears of the others.

Each does so every second, on connections of its own, so that it waits for nobody who
writes. Whoever has the line may call from one thread at a time.
"""

import contextlib
import os
import platform
import selectors
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select, text

from reconciler.errors import StateError
from reconciler.history.database import Database
from reconciler.history.schema import workers
from reconciler.history.takes import Takes
from reconciler.history.this_process import process_id
from reconciler.history.workers import ALL, DEAD_AFTER, worker_of
from reconciler.model import CommitId, HostName, Worker

FORGOTTEN_AFTER = 3600.0
"""Seconds of silence after which a worker is not shown any more."""

_BEAT = text("""
    INSERT INTO workers (id, machine, process, session, since, heard, leads)
    SELECT :id, :machine, :process, :session, now, now, :leads
    FROM (SELECT extract(epoch FROM clock_timestamp())::float8 AS now) AS clock
    ON CONFLICT (id) DO UPDATE SET heard = excluded.heard, leads = excluded.leads
""")
_FORGET = text("""
    DELETE FROM workers
    WHERE heard < extract(epoch FROM clock_timestamp()) - :forgotten_after
""")
_LEAVE = text("DELETE FROM workers WHERE id = :id")
_END_SESSIONS = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = :session AND datname = current_database()
""")
_NEWEST = text("SELECT id FROM commits ORDER BY seq DESC LIMIT 1")
_LISTEN = text("LISTEN reconciler")
_NOTIFY = text("SELECT pg_notify('reconciler', :what)")


class Line:
    """Connected when it is first used, and again after `drop`; raises StateError."""

    def __init__(self, database: Database, takes: Takes) -> None:
        self._database = database
        self._takes = takes
        self._connections: tuple[Connection, Connection] | None = None
        self.id = process_id()

    def drop(self) -> None:
        """Connect anew when it is used again."""
        for connection in self._connections or ():
            with contextlib.suppress(Exception):
                connection.invalidate()
                connection.close()
        self._connections = None

    def beat(self, *, leads: bool) -> list[Worker]:
        """Say that we live; return all that are known."""
        from reconciler.history.postgresql import session_name  # noqa: PLC0415

        me: dict[str, Any] = {
            "id": self.id,
            "machine": platform.node(),
            "process": os.getpid(),
            "session": session_name(),
            "leads": leads,
        }
        with self._says() as connection:
            connection.execute(_BEAT, me)
            rows = connection.execute(ALL, {"dead_after": DEAD_AFTER}).all()
        return [worker_of(row) for row in rows]

    def bury(self, dead: Sequence[Worker]) -> None:
        """
        End what the database still keeps for workers that are silent.

        One that is frozen has its claims for as long as its kernel answers for it.
        """
        with self._says() as connection:
            for one in dead:
                query = select(workers.c.session).where(workers.c.id == one.id)
                session = connection.execute(query).scalar_one_or_none()
                if session is not None:
                    connection.execute(_END_SESSIONS, {"session": session})
            connection.execute(_FORGET, {"forgotten_after": FORGOTTEN_AFTER})

    def leave(self) -> None:
        """Say that we end: others take what we have at once."""
        with self._says() as connection:
            connection.execute(_LEAVE, {"id": self.id})

    def begin(self) -> None:
        """Be a worker from now on: nothing is changed but hosts that we have."""
        self._takes.worker = self.id

    def taken(self) -> set[HostName]:
        """Return the hosts that we have."""
        with self._says() as connection:
            return self._takes.taken(connection)

    def take(self, hosts: Iterable[HostName]) -> None:
        """Have *hosts* from now on, whoever had them."""
        with self._says() as connection:
            self._takes.take(connection, sorted(hosts))

    def newest(self) -> CommitId | None:
        """Return the commit that the leader took over last."""
        with self._says() as connection:
            found = connection.execute(_NEWEST).scalar_one_or_none()
        return None if found is None else CommitId(found)

    def ring(self, what: str) -> None:
        """Have all workers look again at once; any thread may call this."""
        with (
            self._database.in_our_words(),
            contextlib.closing(self._database.apart()) as own,
        ):
            own.execute(_NOTIFY, {"what": what})

    def await_news(self, seconds: float) -> set[str]:
        """Wait until something is rung, *seconds* at most; return what was."""
        from psycopg import Error  # noqa: PLC0415 -- only who has PostgreSQL has it

        driver: Any = self._connected()[1].connection.driver_connection
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(driver.fileno(), selectors.EVENT_READ)
                if selector.select(seconds):
                    driver.pgconn.consume_input()
            heard = iter(driver.pgconn.notifies, None)
            return {notice.extra.decode() for notice in heard}
        except Error as error:
            message = f"{self._database.name}: {error}"
            raise StateError(message) from error

    @contextlib.contextmanager
    def _says(self) -> Iterator[Connection]:
        with self._database.in_our_words():
            yield self._connected()[0]

    def _connected(self) -> tuple[Connection, Connection]:
        if self._connections is None:
            with self._database.in_our_words():
                says, hears = self._database.apart(), self._database.apart()
                hears.execute(_LISTEN)
            self._connections = (says, hears)
        return self._connections
