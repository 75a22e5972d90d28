"""
Which worker has each host, by a number that only grows.

Whoever takes a host from another gets a greater number. What changes the host carries
it, and the host refuses a smaller one than it has seen: `reconciler.remote.fence`. The
number is at least the time, so that hosts know an older one where the table was lost.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, select, text

from reconciler.errors import HostBusyError
from reconciler.history.database import Database
from reconciler.history.schema import takes
from reconciler.history.workers import told_of
from reconciler.model import HostName

_TAKE = text("""
    INSERT INTO takes (host, number, worker)
    SELECT name, extract(epoch FROM clock_timestamp())::bigint, :worker
    FROM unnest(CAST(:hosts AS text[])) AS name
    ON CONFLICT (host) DO UPDATE
    SET number = greatest(takes.number + 1, excluded.number), worker = excluded.worker
    WHERE takes.worker <> excluded.worker
""")
_OF = text("SELECT number, worker FROM takes WHERE host = :host FOR SHARE")


class Takes:
    """Part of `History`, with the same promises."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._held: dict[HostName, int] = {}  # numbers of those that are locked here
        self.worker = ""
        """Which worker this process is: it may only change hosts that it has."""

    def number(self, host: HostName) -> int | None:
        """Return the number by which *host* is changed; None where there are none."""
        with self._lock:
            return self._held.get(host)

    def take(self, connection: Connection, hosts: Sequence[HostName]) -> None:
        """Have *hosts* from now on, whoever had them."""
        connection.execute(_TAKE, {"worker": self.worker, "hosts": list(hosts)})

    def taken(self, connection: Connection) -> set[HostName]:
        """Return the hosts that we have."""
        query = select(takes.c.host).where(takes.c.worker == self.worker)
        return {HostName(row.host) for row in connection.execute(query)}

    @contextlib.contextmanager
    def held(self, host: HostName) -> Iterator[None]:
        """
        Change *host*, which is locked, by the number of now, whatever comes after.

        Raises HostBusyError if we are a worker and another one has it.
        """
        number = self._number(host)
        if number is None:
            yield
            return
        with self._lock:
            self._held[host] = number
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(host, None)

    def require(self, connection: Connection, host: HostName) -> None:
        """
        Keep *host* from being taken until this transaction ends.

        Raises HostBusyError if it was taken since it was locked.
        """
        held = self.number(host)
        if held is None:
            return
        row = connection.execute(_OF, {"host": host}).first()
        if row is not None and row.number != held:
            raise HostBusyError(host, owner=told_of(connection, row.worker))

    def _number(self, host: HostName) -> int | None:
        if not self._database.shared:
            return None
        with self._database.reading() as connection:
            query = select(takes.c.number, takes.c.worker).where(takes.c.host == host)
            row = connection.execute(query).first()
            if self.worker and (row is None or row.worker != self.worker):
                owner = told_of(connection, row.worker) if row else "no worker yet"
                raise HostBusyError(host, owner=owner)
        return None if row is None else int(row.number)
