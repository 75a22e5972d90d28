"""Rows of the audit log, which nothing here changes or deletes."""

from collections.abc import Collection

from sqlalchemy import Connection, func, insert, select

from reconciler.history.records import Event, Ordered, clean
from reconciler.history.schema import events
from reconciler.model import HostName


def add(connection: Connection, event: Event) -> None:
    """Append to the log."""
    connection.execute(
        insert(events).values(
            at=event.at,
            kind=clean(event.kind),
            host=event.host,
            actor=clean(event.actor),
            text=clean(event.text),
        )
    )


def load(connection: Connection, host: HostName | None, limit: int) -> list[Event]:
    """Return the last events, newest first."""
    query = select(events).order_by(events.c.seq.desc()).limit(limit)
    if host is not None:
        query = query.where(events.c.host == host)
    return [
        Event(
            at=row.at,
            kind=row.kind,
            host=None if row.host is None else HostName(row.host),
            actor=row.actor,
            text=row.text,
        )
        for row in connection.execute(query)
    ]


def serial(connection: Connection) -> int:
    """Return the number of the last event, 0 if there is none."""
    newest = connection.execute(select(func.max(events.c.seq))).scalar_one()
    return int(newest or 0)


def since(connection: Connection, after: int, kinds: Collection[str]) -> list[Ordered]:
    """Return the events of these *kinds* behind that numbered *after*, in order."""
    query = (
        select(events.c.seq, events.c.kind, events.c.host)
        .where(events.c.seq > after, events.c.kind.in_(kinds))
        .order_by(events.c.seq)
    )
    return [
        Ordered(
            serial=row.seq,
            kind=row.kind,
            host=None if row.host is None else HostName(row.host),
        )
        for row in connection.execute(query)
    ]
