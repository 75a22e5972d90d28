"""Processes that share the hosts among them, as anybody may see them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, text

from reconciler.history.database import Database
from reconciler.history.schema import takes, workers
from reconciler.model import Worker

DEAD_AFTER = 7.0
"""Seconds of silence after which the others take what a worker has."""

ALL = text("""
    SELECT id, machine, process, session, since, heard, leads,
        heard > extract(epoch FROM clock_timestamp()) - :dead_after AS live
    FROM workers ORDER BY since, id
""")
"""The clock is PostgreSQL's: those of the machines may differ."""


class Workers:
    """Part of `History`, with the same promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Worker]:
        """Return all that are known, with their hosts, in the order of their start."""
        if not self._database.shared:
            return []
        with self._database.reading() as connection:
            rows = connection.execute(ALL, {"dead_after": DEAD_AFTER}).all()
            found = connection.execute(select(takes.c.host, takes.c.worker)).all()
        hosts: dict[str, list[str]] = {}
        for one in found:
            hosts.setdefault(one.worker, []).append(one.host)
        return [worker_of(row, sorted(hosts.get(row.id, ()))) for row in rows]


def told_of(connection: Connection, worker: str) -> str:
    """Return how people find a worker."""
    query = select(workers).where(workers.c.id == worker)
    row = connection.execute(query).first()
    if row is None:
        return f"worker {worker}"
    return f"worker {row.id}, process {row.process} on {row.machine}"


def worker_of(row: Row[Any], hosts: Sequence[str] = ()) -> Worker:
    """Return what a row of `ALL` says."""
    return Worker(
        id=row.id,
        machine=row.machine,
        process=row.process,
        since=row.since,
        heard=row.heard,
        live=row.live,
        leads=row.leads,
        hosts=tuple(hosts),
    )
