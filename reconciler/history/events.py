"""Rows of the audit log, which nothing here changes or deletes."""

from collections.abc import Collection

from sqlalchemy import Connection, Row, func, insert, select

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
    return [_event(row) for row in connection.execute(query)]


def newest(connection: Connection, host: HostName, kind: str) -> Event | None:
    """Return the last event of one *kind* on a host, if there is one."""
    mine = (events.c.host == host) & (events.c.kind == kind)
    query = select(events).where(mine).order_by(events.c.seq.desc()).limit(1)
    row = connection.execute(query).first()
    return None if row is None else _event(row)


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


def _event(row: Row[tuple[object, ...]]) -> Event:
    return Event(
        at=row.at,
        kind=row.kind,
        host=None if row.host is None else HostName(row.host),
        actor=row.actor,
        text=row.text,
    )
