"""What evaluations looked at, and how the last commit was read for each host."""

import json
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, Row, delete, insert, select, update

from reconciler.history import events
from reconciler.history.database import Database
from reconciler.history.records import Event, clean
from reconciler.history.schema import (
    evaluated,
    evaluations,
    last_good,
    looked,
    lookings,
)
from reconciler.model import (
    CommitId,
    Evaluated,
    EvaluationNote,
    HostName,
    LookedAt,
    subject_of,
)

LEFT = "host-left"
"""The event of a host that the repository has no more."""

KEPT = 3
"""Evaluations of one subject: of a branch, a proposal, and somebody's own look."""

_AT_ONCE = 500  # SQLite takes 999 variables in a statement


class Lookings:
    """Part of `History`, with the same promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def looked_at(self, subject: str) -> list[LookedAt]:
        """Return the last evaluations of *subject*, newest first."""
        query = select(lookings).where(lookings.c.subject == subject)
        with self._database.reading() as connection:
            rows = list(connection.execute(query.order_by(lookings.c.seq.desc())))
        return [_looked_at(row) for row in rows]

    def groups(self, digests: Sequence[str]) -> dict[str, str]:
        """Return the texts of groups by digest, of those that are there."""
        found: dict[str, str] = {}
        with self._database.reading() as connection:
            for some in _parts(digests):
                query = select(looked).where(looked.c.digest.in_(some))
                found |= {row.digest: row.text for row in connection.execute(query)}
        return found

    def answer(self, key: str) -> str | None:
        """Return the answer of an evaluation; None if it is gone."""
        query = select(evaluations.c.text).where(evaluations.c.key == key)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    def remember(
        self, one: LookedAt, groups: Mapping[str, str], text: str | None = None
    ) -> None:
        """
        Keep an evaluation, with the texts of its groups; older ones go.

        With *text*, which is its answer, unless that is kept already.
        """
        of_subject = lookings.c.subject == one.subject
        newest = select(lookings.c.seq).where(of_subject)
        keep = newest.order_by(lookings.c.seq.desc()).limit(KEPT).subquery()
        gone = of_subject & lookings.c.seq.not_in(select(keep.c.seq))
        with self._database.writing() as connection:
            known = _known(connection, list(groups))
            rows = [
                {"digest": digest, "text": text}
                for digest, text in groups.items()
                if digest not in known
            ]
            if rows:
                connection.execute(insert(looked), rows)
            if text is not None:
                _keep(connection, one.answer, text)
            connection.execute(insert(lookings).values(**_fields(one)))
            connection.execute(delete(lookings).where(gone))

    def note(self, one: EvaluationNote, *, moves: bool = False) -> None:
        """
        Replace how the last commit was read for a host; costs stay if unknown.

        That the same commit was read once more, and is unchanged, is no news. If it
        *moves*, what the last commit said of the host that Nix could evaluate is what
        this one says.
        """
        fields: dict[str, object] = {
            "commit_id": one.commit,
            "result": one.result.value,
            "reasons": json.dumps(list(map(clean, one.reasons))),
            "at": one.at,
        }
        if one.seconds is not None:
            fields |= {"seconds": one.seconds, "memory": one.memory}
        mine = evaluated.c.host == one.host
        with self._database.writing() as connection:
            if moves:
                same = update(last_good).where(last_good.c.host == one.host)
                connection.execute(same.values(commit_id=one.commit))
            query = select(evaluated.c.commit_id).where(mine)
            before = connection.execute(query).scalar_one_or_none()
            if before is None:
                connection.execute(insert(evaluated).values(host=one.host, **fields))
            elif before != one.commit or one.result is not Evaluated.UNCHANGED:
                connection.execute(update(evaluated).where(mine).values(**fields))

    def note_of(self, host: HostName) -> EvaluationNote | None:
        """Return how the last commit was read for *host*; None if none was."""
        query = select(evaluated).where(evaluated.c.host == host)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else _note(row)

    def left(self, host: HostName) -> Event | None:
        """Return what was noted when *host* last left the repository, if it did."""
        with self._database.reading() as connection:
            return events.newest(connection, host, LEFT)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of memory that the last evaluation of each host took."""
        return {host: one.memory for host, one in self.notes().items() if one.memory}

    def notes(self) -> dict[HostName, EvaluationNote]:
        """Return how the last commit was read for each host, and what that took."""
        with self._database.reading() as connection:
            rows = list(connection.execute(select(evaluated)))
        return {HostName(row.host): _note(row) for row in rows}


def forget(connection: Connection, host: HostName) -> None:
    """Forget how commits were read for a host."""
    connection.execute(delete(evaluated).where(evaluated.c.host == host))
    subject = lookings.c.subject == subject_of(host)
    connection.execute(delete(lookings).where(subject))


def prune(connection: Connection) -> None:
    """Delete evaluations whose answer is gone, and groups that nobody looked at."""
    keys = select(evaluations.c.key)
    connection.execute(delete(lookings).where(lookings.c.answer.not_in(keys)))
    rows = connection.execute(select(lookings.c.groups))
    needed = {digest for row in rows for digest in row.groups.split()}
    there = connection.execute(select(looked.c.digest)).scalars()
    gone = [digest for digest in there if digest not in needed]
    for some in _parts(gone):
        connection.execute(delete(looked).where(looked.c.digest.in_(some)))


def _keep(connection: Connection, key: str, text: str) -> None:
    connection.execute(delete(evaluations).where(evaluations.c.key == key))
    connection.execute(insert(evaluations).values(key=key, text=text, saved_at=0.0))


def _known(connection: Connection, digests: list[str]) -> set[str]:
    found: set[str] = set()
    for some in _parts(digests):
        query = select(looked.c.digest).where(looked.c.digest.in_(some))
        found.update(connection.execute(query).scalars())
    return found


def _parts(digests: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(digests), _AT_ONCE):
        yield digests[start : start + _AT_ONCE]


def _fields(one: LookedAt) -> dict[str, str]:
    return {
        "subject": one.subject,
        "base": json.dumps(dict(one.base), sort_keys=True),
        "answer": one.answer,
        "groups": " ".join(one.groups),
        "puzzle": clean(one.puzzle),
        "checkout": one.checkout,
    }


def _looked_at(row: Row[tuple[object, ...]]) -> LookedAt:
    return LookedAt(
        subject=row.subject,
        base=json.loads(row.base),
        answer=row.answer,
        groups=tuple(row.groups.split()),
        puzzle=row.puzzle,
        checkout=row.checkout,
    )


def _note(row: Row[tuple[object, ...]]) -> EvaluationNote:
    return EvaluationNote(
        host=HostName(row.host),
        commit=CommitId(row.commit_id),
        result=Evaluated(row.result),
        reasons=tuple(json.loads(row.reasons)),
        at=row.at,
        seconds=row.seconds,
        memory=row.memory,
    )
