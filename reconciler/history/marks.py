"""Rows of marks: what forges are told of commits. One transaction each."""

import json
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from reconciler.history.records import clean
from reconciler.history.schema import marks
from reconciler.messages import Backlog, Mark, MarkState, WaitingMark
from reconciler.model import CommitId, HostName

KEEP = 200
"""Marks that are kept for each forge, the newest."""


def load(connection: Connection, target: str, commit: CommitId) -> Mark | None:
    """Return the mark of a commit."""
    row = _row(connection, target, commit)
    return _mark(row) if row else None


def pending(connection: Connection, target: str) -> list[CommitId]:
    """Return the commits of which it was told that they are on their way."""
    query = select(marks.c.commit_id).where(
        marks.c.target == target, marks.c.state == MarkState.PENDING.value
    )
    return [CommitId(commit) for commit in connection.execute(query).scalars()]


def save(connection: Connection, target: str, mark: Mark, *, now: float) -> None:
    """Replace the mark of a commit; the new one is to be sent."""
    before = _row(connection, target, mark.commit)
    connection.execute(
        delete(marks).where(marks.c.target == target, marks.c.commit_id == mark.commit)
    )
    connection.execute(
        insert(marks).values(
            target=target,
            commit_id=mark.commit,
            state=mark.state.value,
            text=clean(mark.text),
            hosts=json.dumps(mark.hosts),
            attempt=mark.attempt,
            at=now,
            version=before.version + 1 if before else 1,
            tries=0,
            next_at=before.next_at if before else 0.0,  # as the forge asked us to wait
            error="",
        )
    )


def waiting(connection: Connection, target: str) -> list[WaitingMark]:
    """Return what is to be sent, oldest first."""
    query = select(marks).where(marks.c.target == target, marks.c.ended_at.is_(None))
    rows = connection.execute(query.order_by(marks.c.at))
    return [
        WaitingMark(
            mark=_mark(row),
            version=row.version,
            at=row.at,
            tries=row.tries,
            next_at=row.next_at,
            error=row.error,
        )
        for row in rows
    ]


def end(
    connection: Connection, target: str, sent: WaitingMark, *, error: str, now: float
) -> None:
    """Record that a mark was accepted, or with *error* refused for good."""
    _update(
        connection,
        target,
        sent,
        ended_at=now,
        accepted=not error,
        error=clean(error),
        next_at=0.0,
    )


def fail(
    connection: Connection,
    target: str,
    sent: WaitingMark,
    *,
    error: str,
    next_at: float,
) -> None:
    """Record a try that failed."""
    _update(
        connection,
        target,
        sent,
        error=clean(error),
        next_at=next_at,
        tries=sent.tries + 1,
    )


def backlog(connection: Connection, target: str) -> Backlog:
    """Sum up what waits for *target*; the error is that of the newest mark."""
    of_target = marks.c.target == target
    count, oldest = connection.execute(
        select(func.count(), func.min(marks.c.at)).where(
            of_target, marks.c.ended_at.is_(None)
        )
    ).one()
    newest = select(marks.c.error).where(of_target).order_by(marks.c.at.desc()).limit(1)
    accepted = select(func.max(marks.c.ended_at)).where(
        of_target, marks.c.accepted.is_(True)
    )
    return Backlog(
        target=target,
        waiting=count,
        oldest_at=oldest or 0.0,
        accepted_at=connection.execute(accepted).scalar_one() or 0.0,
        error=connection.execute(newest).scalar_one_or_none() or "",
    )


def prune(connection: Connection, target: str) -> None:
    """Forget all but the newest marks."""
    newest = select(marks.c.commit_id).where(marks.c.target == target)
    keep = newest.order_by(marks.c.at.desc()).limit(KEEP).subquery()
    connection.execute(
        delete(marks).where(
            marks.c.target == target, marks.c.commit_id.not_in(select(keep))
        )
    )


def _row(
    connection: Connection, target: str, commit: CommitId
) -> Row[tuple[Any, ...]] | None:
    query = select(marks).where(marks.c.target == target, marks.c.commit_id == commit)
    return connection.execute(query).first()


def _update(
    connection: Connection, target: str, sent: WaitingMark, **values: object
) -> None:
    """Change a row, unless a newer mark stands there: that one is still to be sent."""
    connection.execute(
        update(marks)
        .where(
            marks.c.target == target,
            marks.c.commit_id == sent.mark.commit,
            marks.c.version == sent.version,
        )
        .values(**values)
    )


def _mark(row: Row[tuple[Any, ...]]) -> Mark:
    return Mark(
        commit=CommitId(row.commit_id),
        state=MarkState(row.state),
        text=row.text,
        hosts=tuple(HostName(host) for host in json.loads(row.hosts)),
        attempt=row.attempt,
        since=row.at,
    )
