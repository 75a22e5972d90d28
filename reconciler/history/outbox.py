"""`Outbox`: what was told, and what is on its way to whoever is told."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, insert, select

from reconciler.history import letters, marks
from reconciler.history.database import Database
from reconciler.history.records import clean
from reconciler.history.schema import told
from reconciler.messages import (
    Backlog,
    Letter,
    Mark,
    MarkState,
    MarkStep,
    TellStep,
    Waiting,
    WaitingMark,
)
from reconciler.model import CommitId

AT_ONCE = 200
"""Letters that are read at once; what one delivery can group."""


class Outbox:
    """
    Part of `History`, with the same promises.

    What was told of a subject and the letters that tell it are written as one. So
    nothing is taken for told that is not on its way, whenever the program dies.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- what was told -----------------------------------------------------------

    def told(self) -> dict[str, str]:
        """Return what was told, by subject."""
        with self._database.reading() as connection:
            return {row.subject: row.text for row in connection.execute(select(told))}

    def told_of(self, subject: str) -> str | None:
        """Return what was told of *subject*."""
        with self._database.reading() as connection:
            return _told(connection, subject)

    def tell(self, subject: str, step: TellStep) -> bool:
        """
        Let *step* say what is new about *subject*; keep it; return whether anything is.

        *step* must be pure: it is called again with the database locked, since another
        process may have told meanwhile.
        """
        with self._database.reading() as connection:
            if step(_told(connection, subject)) is None:
                return False
        with self._database.writing() as connection:
            telling = step(_told(connection, subject))
            if telling is None:
                return False
            connection.execute(delete(told).where(told.c.subject == subject))
            connection.execute(
                insert(told).values(subject=subject, text=clean(telling.told))
            )
            letters.put(connection, telling.letters)
        return True

    def forget(self, subject: str, last: Iterable[Letter] = ()) -> None:
        """Forget what was told of *subject*, with the last letters about it."""
        with self._database.writing() as connection:
            connection.execute(delete(told).where(told.c.subject == subject))
            letters.put(connection, last)

    # --- letters -----------------------------------------------------------------

    def waiting(self, target: str) -> list[Waiting]:
        """Return the first letters that wait for *target*, oldest first."""
        with self._database.reading() as connection:
            return letters.waiting(connection, target, AT_ONCE)

    def give_up(self, target: str, *, before: float, now: float) -> list[Waiting]:
        """End the letters written *before*, or more than may wait; return them."""
        with self._database.reading() as connection:
            if not letters.overdue(connection, target, before):
                return []
        with self._database.writing() as connection:
            found = letters.overdue(connection, target, before)
            numbers = [letter.seq for letter in found]
            letters.end(connection, numbers, accepted=False, now=now)
        return found

    def accepted(self, numbers: Sequence[int], *, now: float) -> None:
        """Record that letters were accepted."""
        with self._database.writing() as connection:
            letters.end(connection, numbers, accepted=True, now=now)
            letters.prune(connection, now)

    def refused(self, numbers: Sequence[int], *, error: str, now: float) -> None:
        """Record that letters were refused, and are not tried again."""
        with self._database.writing() as connection:
            letters.fail(connection, numbers, error=error, next_at=now)
            letters.end(connection, numbers, accepted=False, now=now)

    def failed(self, numbers: Sequence[int], *, error: str, next_at: float) -> None:
        """Record a try that failed, and when the next may be."""
        with self._database.writing() as connection:
            letters.fail(connection, numbers, error=error, next_at=next_at)

    def targets(self) -> set[str]:
        """Return the names of the targets for which letters wait."""
        with self._database.reading() as connection:
            return letters.targets(connection)

    def backlog(self, target: str) -> Backlog:
        """Sum up the letters for *target*."""
        with self._database.reading() as connection:
            return letters.backlog(connection, target)

    # --- marks -------------------------------------------------------------------

    def mark(self, target: str, commit: CommitId, step: MarkStep, now: float) -> bool:
        """Let *step* change the mark of *commit*; return whether it did."""
        with self._database.reading() as connection:
            if step(marks.load(connection, target, commit)) is None:
                return False
        with self._database.writing() as connection:
            mark = step(marks.load(connection, target, commit))
            if mark is None:
                return False
            marks.save(connection, target, mark, now=now)
            marks.prune(connection, target)
        return True

    def supersede(self, target: str, commit: CommitId, text: str, now: float) -> None:
        """Say of every commit but *commit* that was on its way that it is no longer."""
        with self._database.reading() as connection:
            if not set(marks.pending(connection, target)) - {commit}:
                return
        with self._database.writing() as connection:
            for other in marks.pending(connection, target):
                if other != commit:
                    state = MarkState.SUPERSEDED
                    mark = Mark(commit=other, state=state, text=text)
                    marks.save(connection, target, mark, now=now)

    def waiting_marks(self, target: str) -> list[WaitingMark]:
        """Return the marks that wait for *target*, oldest first."""
        with self._database.reading() as connection:
            return marks.waiting(connection, target)

    def mark_ended(
        self, target: str, sent: WaitingMark, *, now: float, error: str = ""
    ) -> None:
        """Record that a mark was accepted, or with *error* refused for good."""
        with self._database.writing() as connection:
            marks.end(connection, target, sent, error=error, now=now)

    def mark_failed(
        self, target: str, sent: WaitingMark, *, error: str, next_at: float
    ) -> None:
        """Record a try that failed, and when the next may be."""
        with self._database.writing() as connection:
            marks.fail(connection, target, sent, error=error, next_at=next_at)

    def mark_backlog(self, target: str) -> Backlog:
        """Sum up the marks for *target*."""
        with self._database.reading() as connection:
            return marks.backlog(connection, target)


def _told(connection: Connection, subject: str) -> str | None:
    query = select(told.c.text).where(told.c.subject == subject)
    return connection.execute(query).scalar_one_or_none()
