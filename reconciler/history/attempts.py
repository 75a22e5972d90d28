"""Rows of attempts and their steps. Every function works inside one transaction."""

import secrets
import time
from collections.abc import Sequence

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from reconciler.errors import UnknownAttemptError
from reconciler.history.records import clean
from reconciler.history.schema import attempts, guards, steps
from reconciler.model import (
    Attempt,
    CommitId,
    Guard,
    HostName,
    Outcome,
    Reason,
    StepRecord,
    StorePath,
    Verdict,
)


def new_id(connection: Connection, now: float) -> str:
    """Return an unused id that sorts by time (UTC): ``20261123T104512-3f2a``."""
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    while True:
        attempt_id = f"{moment}-{secrets.token_hex(2)}"
        taken = select(attempts.c.seq).where(attempts.c.id == attempt_id)
        if connection.execute(taken).first() is None:
            return attempt_id


def insert_attempt(connection: Connection, attempt: Attempt) -> None:
    """Record an attempt that begins."""
    connection.execute(
        insert(attempts).values(
            id=attempt.id,
            host=attempt.host,
            commit_id=attempt.commit,
            verdict=attempt.verdict.value,
            source=attempt.source,
            target=attempt.target,
            owner=clean(attempt.owner),
            began_at=attempt.began_at,
            message="",
            log_lines=0,
            log_head_lines=0,
            log_head_size=0,
            log_tail_size=0,
        )
    )


def insert_guard(connection: Connection, attempt_id: str, guard: Guard) -> None:
    """Record what it takes to follow an attempt. Raises UnknownAttemptError."""
    connection.execute(
        insert(guards).values(
            attempt=sequence(connection, attempt_id),
            boot_id=clean(guard.boot_id),
            baseline=guard.baseline,
        )
    )


def guard_of(connection: Connection, attempt_id: str) -> Guard | None:
    """Return what it takes to follow an attempt; None if it has no guardian."""
    query = (
        select(guards.c.boot_id, guards.c.baseline)
        .join(attempts, attempts.c.seq == guards.c.attempt)
        .where(attempts.c.id == attempt_id)
    )
    row = connection.execute(query).first()
    return None if row is None else Guard(boot_id=row.boot_id, baseline=row.baseline)


def set_reason(connection: Connection, attempt_id: str, reason: Reason) -> None:
    """Record why a host went back. Raises UnknownAttemptError."""
    seq = sequence(connection, attempt_id)
    connection.execute(
        update(guards).where(guards.c.attempt == seq).values(reason=reason.value)
    )


def sequence(connection: Connection, attempt_id: str) -> int:
    """Return the number of an attempt's row. Raises UnknownAttemptError."""
    query = select(attempts.c.seq).where(attempts.c.id == attempt_id)
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        raise UnknownAttemptError(attempt_id)
    return int(found)


def insert_step(connection: Connection, attempt_id: str, record: StepRecord) -> None:
    """Record a step behind those that are there. Raises UnknownAttemptError."""
    seq = sequence(connection, attempt_id)
    count = select(func.count()).select_from(steps).where(steps.c.attempt == seq)
    connection.execute(
        insert(steps).values(
            attempt=seq,
            position=connection.execute(count).scalar_one(),
            name=clean(record.name),
            began_at=record.began_at,
            seconds=record.seconds,
            error=clean(record.error),
        )
    )


def end(
    connection: Connection,
    attempt_id: str,
    outcome: Outcome,
    *,
    message: str,
    now: float,
) -> bool:
    """Record how an attempt ended; return False if it had ended before."""
    ended = connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.outcome.is_(None))
        .values(outcome=outcome.value, ended_at=now, message=clean(message))
    )
    return ended.rowcount == 1


def newest(host: HostName | None, limit: int) -> Select[tuple[object, ...]]:
    """Return the query for the last attempts, newest first."""
    query = select(attempts).order_by(attempts.c.seq.desc()).limit(limit)
    return query if host is None else query.where(attempts.c.host == host)


def unfinished(host: HostName | None) -> Select[tuple[object, ...]]:
    """Return the query for attempts without an outcome, oldest first."""
    query = (
        select(attempts).where(attempts.c.outcome.is_(None)).order_by(attempts.c.seq)
    )
    return query if host is None else query.where(attempts.c.host == host)


def applied(connection: Connection, host: HostName) -> StorePath | None:
    """Return what was confirmed last, unless another system was tried since."""
    of_host = select(attempts.c.target, attempts.c.seq).where(attempts.c.host == host)
    succeeded = attempts.c.outcome == Outcome.SUCCEEDED.value
    newest = of_host.order_by(attempts.c.seq.desc()).limit(1)
    last = connection.execute(newest.where(succeeded)).first()
    if last is None:
        return None
    other = attempts.c.target != last.target
    since = of_host.where(attempts.c.seq > last.seq, other).limit(1)
    return None if connection.execute(since).first() else StorePath(last.target)


def commits_of(connection: Connection, host: HostName) -> dict[StorePath, CommitId]:
    """Return the commit that last had each system brought to a host."""
    query = (
        select(attempts.c.target, attempts.c.commit_id)
        .where(attempts.c.host == host, attempts.c.commit_id != "")
        .order_by(attempts.c.seq)
    )
    rows = connection.execute(query)
    return {StorePath(row.target): CommitId(row.commit_id) for row in rows}


def load(connection: Connection, query: Select[tuple[object, ...]]) -> list[Attempt]:
    """Return the attempts of *query*, each with its steps."""
    rows = connection.execute(query).all()
    if not rows:
        return []  # as at nearly every look at a host
    numbers = [row.seq for row in rows]
    done, reasons = _steps(connection, numbers), _reasons(connection, numbers)
    return [_attempt(row, done.get(row.seq, ()), reasons.get(row.seq)) for row in rows]


def _reasons(connection: Connection, numbers: Sequence[int]) -> dict[int, Reason]:
    query = select(guards.c.attempt, guards.c.reason).where(
        guards.c.attempt.in_(numbers), guards.c.reason != ""
    )
    return {row.attempt: Reason(row.reason) for row in connection.execute(query)}


def _steps(
    connection: Connection, numbers: Sequence[int]
) -> dict[int, tuple[StepRecord, ...]]:
    query = select(steps).where(steps.c.attempt.in_(numbers)).order_by(steps.c.position)
    found: dict[int, tuple[StepRecord, ...]] = {}
    for row in connection.execute(query):
        record = StepRecord(
            name=row.name, began_at=row.began_at, seconds=row.seconds, error=row.error
        )
        found[row.attempt] = (*found.get(row.attempt, ()), record)
    return found


def _attempt(
    row: Row[tuple[object, ...]],
    done: tuple[StepRecord, ...],
    reason: Reason | None,
) -> Attempt:
    return Attempt(
        id=row.id,
        host=HostName(row.host),
        commit=CommitId(row.commit_id),
        verdict=Verdict(row.verdict),
        source=None if row.source is None else StorePath(row.source),
        target=StorePath(row.target),
        began_at=row.began_at,
        ended_at=row.ended_at,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        message=row.message,
        owner=row.owner,
        reason=reason,
        steps=done,
    )
