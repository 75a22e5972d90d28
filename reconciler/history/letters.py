"""Rows of letters: messages on their way. Every function works in one transaction."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from reconciler.history.records import DAY, clean
from reconciler.history.schema import attempts, brought, letters
from reconciler.messages import Backlog, Kind, Letter, Message, Waiting

MOST = 1000
"""Letters that may wait for one target; the oldest give way."""

KEEP_ENDED = 2 * DAY
"""Seconds for which a letter that is done with is known, so that none is sent twice."""

PATIENCE = 15.0
"""Seconds that the message of a deployment waits for what it brought."""

_waits = letters.c.ended_at.is_(None)


def put(connection: Connection, new: Iterable[Letter]) -> None:
    """Add letters; one whose key its target has had is left out."""
    for letter in new:
        message, held = _completed(connection, letter.message)
        same = select(letters.c.seq).where(
            letters.c.target == letter.target, letters.c.key == message.key
        )
        if connection.execute(same).first() is not None:
            continue
        connection.execute(
            insert(letters).values(
                target=letter.target,
                key=message.key,
                message=_to_json(message),
                at=message.at,
                tries=0,
                next_at=message.at + PATIENCE if held else 0.0,
                error="",
            )
        )


def _completed(connection: Connection, message: Message) -> tuple[Message, bool]:
    """Return the message of a deployment with what it brought; True: not known yet."""
    if message.kind is not Kind.DEPLOYED:
        return message, False
    query = (
        select(brought.c.pending, brought.c.told)
        .join(attempts, attempts.c.seq == brought.c.attempt)
        .where(attempts.c.id == message.attempt)
    )
    row = connection.execute(query).first()
    if row is None or row.pending:
        return message, row is not None
    return dataclasses.replace(message, text=row.told), False


def waiting(connection: Connection, target: str, limit: int) -> list[Waiting]:
    """Return the letters that wait for *target*, oldest first."""
    query = _of(target).order_by(letters.c.seq).limit(limit)
    return [_waiting(row) for row in connection.execute(query)]


def overdue(connection: Connection, target: str, before: float) -> list[Waiting]:
    """Return what is to be given up: written *before*, or more than may wait."""
    old = _of(target).where(letters.c.at < before)
    beyond = _of(target).order_by(letters.c.seq.desc()).offset(MOST)
    rows = [*connection.execute(old), *connection.execute(beyond)]
    found = {row.seq: _waiting(row) for row in rows}
    return [found[seq] for seq in sorted(found)]


def end(
    connection: Connection, numbers: Sequence[int], *, accepted: bool, now: float
) -> None:
    """Record that letters were accepted, or given up."""
    connection.execute(
        update(letters)
        .where(letters.c.seq.in_(numbers))
        .values(ended_at=now, accepted=accepted)
    )


def fail(
    connection: Connection, numbers: Sequence[int], *, error: str, next_at: float
) -> None:
    """Record a try that failed."""
    connection.execute(
        update(letters)
        .where(letters.c.seq.in_(numbers))
        .values(error=clean(error), next_at=next_at, tries=letters.c.tries + 1)
    )


def complete(connection: Connection, attempt_id: str, told: str) -> None:
    """Have messages of a deployment that were not tried yet say what it brought."""
    query = select(letters).where(_waits, letters.c.tries == 0, letters.c.next_at > 0)
    for row in connection.execute(query).all():
        message = _waiting(row).message
        if message.attempt != attempt_id or message.kind is not Kind.DEPLOYED:
            continue
        whole = _to_json(dataclasses.replace(message, text=told))
        connection.execute(
            update(letters)
            .where(letters.c.seq == row.seq)
            .values(message=whole, next_at=0.0)
        )


def targets(connection: Connection) -> set[str]:
    """Return the names of the targets for which something waits."""
    query = select(letters.c.target).where(_waits).distinct()
    return set(connection.execute(query).scalars())


def backlog(connection: Connection, target: str) -> Backlog:
    """Sum up what waits for *target*."""
    count, oldest = connection.execute(
        select(func.count(), func.min(letters.c.at)).where(
            letters.c.target == target, _waits
        )
    ).one()
    first = connection.execute(_of(target).order_by(letters.c.seq).limit(1)).first()
    accepted = select(func.max(letters.c.ended_at)).where(
        letters.c.target == target, letters.c.accepted.is_(True)
    )
    return Backlog(
        target=target,
        waiting=count,
        oldest_at=oldest or 0.0,
        accepted_at=connection.execute(accepted).scalar_one() or 0.0,
        error=first.error if first else "",
    )


def prune(connection: Connection, now: float) -> None:
    """Forget letters that were done with long ago."""
    connection.execute(delete(letters).where(letters.c.ended_at < now - KEEP_ENDED))


def _of(target: str) -> Select[tuple[Any, ...]]:
    return select(letters).where(letters.c.target == target, _waits)


def _to_json(message: Message) -> str:
    values = dataclasses.asdict(message)
    values["kind"] = message.kind.value
    values["about"] = [kind.value for kind in message.about]
    return clean(json.dumps(values))


def _waiting(row: Row[tuple[Any, ...]]) -> Waiting:
    values = json.loads(row.message)
    values["kind"] = Kind(values["kind"])
    values["about"] = tuple(map(Kind, values["about"]))
    values["tags"] = tuple(values["tags"])
    return Waiting(
        seq=row.seq,
        message=Message(**values),
        tries=row.tries,
        next_at=row.next_at,
        error=row.error,
    )
