"""`BroughtRows`: what came with each attempt, and what of it is yet to be told."""

import json
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, insert, select

from reconciler.history import letters
from reconciler.history.attempts import sequence
from reconciler.history.database import Database
from reconciler.history.records import clean
from reconciler.history.schema import attempts, brought
from reconciler.model import (
    Brought,
    BroughtCommit,
    CommitRange,
    PackageChange,
    PackageKind,
    Restart,
    SystemDiff,
)


class BroughtRows:
    """Part of `History`, with the same promises; all of it goes with its attempt."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, attempt_id: str) -> Brought | None:
        """Return what came with an attempt; None where nothing was recorded."""
        query = (
            select(brought.c.text, brought.c.pending)
            .join(attempts, attempts.c.seq == brought.c.attempt)
            .where(attempts.c.id == attempt_id)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else _from_json(row.text, pending=row.pending)

    def save(self, attempt_id: str, found: Brought, *, told: str = "") -> None:
        """
        Replace what came with an attempt. Raises UnknownAttemptError.

        Once it is whole, messages about the attempt that wait say *told*.
        """
        with self._database.writing() as connection:
            seq = sequence(connection, attempt_id)
            connection.execute(delete(brought).where(brought.c.attempt == seq))
            connection.execute(
                insert(brought).values(
                    attempt=seq,
                    text=_to_json(found),
                    pending=found.pending,
                    told=clean(told),
                )
            )
            if not found.pending:
                letters.complete(connection, attempt_id, told)

    def pending(self, limit: int = 20) -> list[str]:
        """Return the ids of attempts of which it is not known yet, oldest first."""
        query = (
            select(attempts.c.id)
            .join(brought, attempts.c.seq == brought.c.attempt)
            .where(brought.c.pending.is_(True))
            .order_by(attempts.c.seq)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())


def _to_json(found: Brought) -> str:
    values = asdict(found)
    del values["pending"]
    if values["packages"]:
        del values["packages"]["parts"]  # which matter before a deployment only
    for change in (values["packages"] or {}).get("packages", ()):
        change["kind"] = change["kind"].value
    return clean(json.dumps(values))


def _from_json(text: str, *, pending: bool) -> Brought:
    values: dict[str, Any] = json.loads(text)
    between = values["range"]
    for name in ("commits", "undone"):
        between[name] = tuple(BroughtCommit(**one) for one in between[name])
    between["inputs"] = tuple(between.get("inputs", ()))
    return Brought(
        range=CommitRange(**between),
        restarts=tuple(Restart(**one) for one in values["restarts"]),
        packages=_packages(values["packages"]) if values["packages"] else None,
        problem=values["problem"],
        pending=pending,
    )


def _packages(values: dict[str, Any]) -> SystemDiff:
    changes = tuple(
        PackageChange(
            name=one["name"],
            kind=PackageKind(one["kind"]),
            before=tuple(one["before"]),
            after=tuple(one["after"]),
            restarts=tuple(one["restarts"]),
        )
        for one in values.pop("packages")
    )
    kernel = values.pop("kernel")
    return SystemDiff(
        packages=changes, kernel=(kernel[0], kernel[1]) if kernel else None, **values
    )
