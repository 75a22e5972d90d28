"""Which hosts are ours: they were in sync once, or a person gave them to us."""

from sqlalchemy import Connection, insert, select

from reconciler.history.records import approval_of_adoption, clean
from reconciler.history.schema import approvals
from reconciler.model import HostName


def note_adoption(
    connection: Connection, host: HostName, *, now: float, actor: str = ""
) -> bool:
    """Record that a host is ours; return whether that is new."""
    what = approval_of_adoption(host)
    query = select(approvals.c.what).where(approvals.c.what == what)
    new = connection.execute(query).first() is None
    if new:
        row = {"what": what, "actor": clean(actor), "at": now}
        connection.execute(insert(approvals).values(row))
    return new
