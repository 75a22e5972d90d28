"""How the repository was at the last look: one row, and an event where that is news."""

from sqlalchemy import delete, insert, select

from reconciler.history import events
from reconciler.history.database import Database
from reconciler.history.records import Event, clean
from reconciler.history.schema import repository

AWAY, UNREADABLE, WELL = "repository-away", "commit-unreadable", "repository-well"
WITHHELD = "commit-withheld"  # it waits for a person
UNTRUSTED = "commit-untrusted"  # it is not signed, or takes back what counted
FALLBACK = "repository-fallback"  # another one was read in its place
"""The kinds of event in history that say how the repository is."""


class RepositoryState:
    """Part of `History`, with the same promises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def problem(self) -> str:
        """Return what was wrong when it was last looked at; empty if nothing was."""
        with self._database.reading() as connection:
            found = connection.execute(select(repository.c.problem))
            return found.scalar_one_or_none() or ""

    def note(self, kind: str, problem: str, *, now: float) -> None:
        """Record how it is, and an event of *kind* where that is news."""
        if self.problem() == problem:
            return
        row = {"id": 1, "kind": kind, "problem": clean(problem), "since": now}
        event = Event(at=now, kind=kind, host=None, actor="", text=problem)
        with self._database.writing(durable=True) as connection:
            connection.execute(delete(repository))
            connection.execute(insert(repository).values(**row))
            events.add(connection, event)
