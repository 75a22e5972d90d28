"""Which systems a host should run, was in sync with, and was rebooted for."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, insert, select, update

from reconciler.history.adoption import note_adoption
from reconciler.history.database import Database
from reconciler.history.records import Declared
from reconciler.history.schema import confirmed, last_good, reboots, ways
from reconciler.model import CommitId, HostName, StorePath, UnitName

_OF_HOST = (last_good, confirmed, reboots, ways)

KEPT_WAYS = 20  # systems of one host whose way is remembered


class Systems:
    """Part of `History`, with the same promises; all of it goes with its host."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last_good(self, host: HostName) -> Declared | None:
        """Return what the last commit that Nix could evaluate for a host says."""
        return self._declared(last_good, host)

    def save_last_good(self, host: HostName, declared: Declared) -> None:
        """Replace that."""
        with self._database.writing() as connection:
            _replace(connection, last_good, host, **_fields(declared))

    def move_last_good(self, host: HostName, commit: CommitId) -> None:
        """Record that a newer commit says the same."""
        same = update(last_good).where(last_good.c.host == host)
        with self._database.writing() as connection:
            connection.execute(same.values(commit_id=commit))

    def confirmed(self, host: HostName) -> Declared | None:
        """Return what a host was last in sync with."""
        return self._declared(confirmed, host)

    def services(self, host: HostName) -> frozenset[UnitName]:
        """Return the services that a host had then."""
        query = select(confirmed.c.services).where(confirmed.c.host == host)
        with self._database.reading() as connection:
            text = connection.execute(query).scalar_one_or_none()
        return frozenset(map(UnitName, json.loads(text))) if text else frozenset()

    def save_confirmed(
        self,
        host: HostName,
        declared: Declared,
        services: Iterable[UnitName],
        *,
        now: float,
    ) -> None:
        """Replace both, if they are others; from the first time on the host is ours."""
        told = json.dumps(sorted(services))
        if self.confirmed(host) == declared:
            return
        with self._database.writing() as connection:
            note_adoption(connection, host, now=now)
            _replace(connection, confirmed, host, **_fields(declared), services=told)

    def rebooted_for(self, host: HostName) -> StorePath | None:
        """Return for which system a host was last rebooted."""
        query = select(reboots.c.toplevel).where(reboots.c.host == host)
        with self._database.reading() as connection:
            found = connection.execute(query).scalar_one_or_none()
        return None if found is None else StorePath(found)

    def note_reboot(self, host: HostName, toplevel: StorePath) -> None:
        """Record for which system a host is about to be rebooted."""
        with self._database.writing(durable=True) as connection:
            _replace(connection, reboots, host, toplevel=toplevel)

    def forget_reboot(self, host: HostName) -> None:
        """Record that a host was not rebooted after all."""
        with self._database.writing() as connection:
            forget_reboot(connection, host)

    def last_way(self, host: HostName) -> str | None:
        """Return by which way a host was reached last, as it was noted."""
        query = select(ways.c.way).where(ways.c.host == host)
        return self._way(query.order_by(ways.c.seq.desc()).limit(1))

    def way_of(self, host: HostName, toplevel: StorePath) -> str | None:
        """Return by which way a host was reached when it ran a system last."""
        query = select(ways.c.way).where(ways.c.host == host)
        return self._way(query.where(ways.c.toplevel == toplevel))

    def note_way(self, host: HostName, toplevel: StorePath, way: str) -> None:
        """Record by which way a host is reached, and what it runs."""
        of_host = ways.c.host == host
        query = select(ways.c.toplevel, ways.c.way).where(of_host)
        newest = query.order_by(ways.c.seq.desc()).limit(1)
        with self._database.reading() as connection:
            if connection.execute(newest).first() == (toplevel, way):
                return
        same = of_host & (ways.c.toplevel == toplevel)
        kept = select(ways.c.seq).where(of_host).order_by(ways.c.seq.desc())
        with self._database.writing() as connection:
            connection.execute(delete(ways).where(same))
            connection.execute(
                insert(ways).values(host=host, toplevel=toplevel, way=way)
            )
            rest = ways.c.seq.not_in(kept.limit(KEPT_WAYS))
            connection.execute(delete(ways).where(of_host & rest))

    def _way(self, query: Select[Any]) -> str | None:
        with self._database.reading() as connection:
            found: str | None = connection.execute(query).scalar_one_or_none()
        return found

    def _declared(self, table: Table, host: HostName) -> Declared | None:
        query = select(table.c.commit_id, table.c.desired).where(table.c.host == host)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Declared(commit=CommitId(row.commit_id), desired=row.desired)


def forget(connection: Connection, host: HostName) -> None:
    """Forget the systems of a host."""
    for table in _OF_HOST:
        connection.execute(delete(table).where(table.c.host == host))


def forget_reboot(connection: Connection, host: HostName) -> None:
    """Let a host be rebooted once more for the same system."""
    connection.execute(delete(reboots).where(reboots.c.host == host))


def _fields(declared: Declared) -> dict[str, str]:
    return {"commit_id": declared.commit, "desired": declared.desired}


def _replace(
    connection: Connection, table: Table, host: HostName, **fields: str
) -> None:
    connection.execute(delete(table).where(table.c.host == host))
    connection.execute(insert(table).values(host=host, **fields))
