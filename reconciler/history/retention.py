"""Deletes what is too old or too much to keep."""

from sqlalchemy import (
    ColumnElement,
    Connection,
    Subquery,
    Table,
    delete,
    func,
    not_,
    or_,
    select,
)

from reconciler.history import lookings, schema
from reconciler.history.records import OF_ADOPTION, UNSET_MODE_IS_AUTO, Retention
from reconciler.history.schema import (
    approvals,
    attempts,
    evaluations,
    log_lines,
    quarantines,
)
from reconciler.model import Outcome


def prune(connection: Connection, retention: Retention, *, now: float) -> None:
    """Delete old attempts with their steps and logs, logs, evaluations, orders."""
    old = attempts.c.began_at < now - retention.attempt_seconds
    expendable = attempts.c.outcome.is_not(None) & attempts.c.seq.not_in(
        select(_needed().c.seq)
    )
    too_many = attempts.c.seq.in_(_beyond(attempts, retention.attempts))
    connection.execute(delete(attempts).where(expendable, or_(old, too_many)))
    _prune_logs(connection, now - retention.log_seconds)
    _prune_evaluations(connection, retention.evaluations)
    _prune_orders(connection, retention, now)


def _needed() -> Subquery:
    """Return the rows that `History.applied` and people need: each host's last ones."""
    last = select(func.max(attempts.c.seq).label("seq")).group_by(attempts.c.host)
    succeeded = last.where(attempts.c.outcome == Outcome.SUCCEEDED.value)
    return last.union(succeeded).subquery()


def _beyond(table: Table, count: int) -> ColumnElement[int]:
    """Return the rows that are not among the last *count* of their host."""
    place = func.row_number().over(
        partition_by=table.c.host, order_by=table.c.seq.desc()
    )
    ranked = select(table.c.seq, place.label("place")).subquery()
    return select(ranked.c.seq).where(ranked.c.place > count)  # type: ignore[return-value]


def _prune_logs(connection: Connection, before: float) -> None:
    """Delete the logs of attempts that ended *before*; the attempts stay."""
    ended = select(attempts.c.seq).where(attempts.c.ended_at < before)
    connection.execute(delete(log_lines).where(log_lines.c.attempt.in_(ended)))


def _prune_evaluations(connection: Connection, count: int) -> None:
    """Delete the oldest of what is only a cache; answers that still hold stay."""
    last = select(evaluations.c.seq).order_by(evaluations.c.seq.desc())
    keep = last.limit(count).subquery()
    old = evaluations.c.seq.not_in(select(keep.c.seq))
    unneeded = evaluations.c.key.not_in(select(schema.lookings.c.answer))
    connection.execute(delete(evaluations).where(old, unneeded))
    lookings.prune(connection)


def _prune_orders(connection: Connection, retention: Retention, now: float) -> None:
    """
    Delete quarantines of systems long gone, and approvals as old as attempts.

    Those that are about no system or commit hold until somebody takes them back: hosts
    that were adopted long ago would wait for adoption again.
    """
    too_many = quarantines.c.seq.in_(_beyond(quarantines, retention.quarantines))
    connection.execute(delete(quarantines).where(too_many))
    old = approvals.c.at < now - retention.attempt_seconds
    adoption = approvals.c.what.endswith(OF_ADOPTION, autoescape=True)
    lasting = or_(adoption, approvals.c.what == UNSET_MODE_IS_AUTO)
    connection.execute(delete(approvals).where(old, not_(lasting)))
