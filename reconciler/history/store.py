"""`History`: the one door to the database."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

from sqlalchemy import Connection, delete, insert, select

from reconciler.errors import HostBusyError, UnknownAttemptError
from reconciler.history import attempts as attempt_rows
from reconciler.history import events as event_rows
from reconciler.history import hosts, logs, lookings, migrate, retention, systems, turns
from reconciler.history.brought import BroughtRows
from reconciler.history.database import Database, file_of, open_file
from reconciler.history.deliveries import Deliveries
from reconciler.history.line import Line
from reconciler.history.locks import HostLocks, this_process
from reconciler.history.lookings import Lookings
from reconciler.history.machines import Machines
from reconciler.history.orders import OrderBook
from reconciler.history.outbox import Outbox
from reconciler.history.records import Event, Retention, clean
from reconciler.history.reports import Reports
from reconciler.history.reports import forget as forget_report
from reconciler.history.repository import RepositoryState
from reconciler.history.schema import attempts, commits, evaluations, identity
from reconciler.history.systems import Systems
from reconciler.history.takes import Takes
from reconciler.history.turns import Turns
from reconciler.history.workers import Workers
from reconciler.model import (
    Attempt,
    Commit,
    CommitId,
    Guard,
    HostName,
    HostStatus,
    Outcome,
    Reason,
    StepRecord,
    StorePath,
    Verdict,
)

DAEMON = "the daemon's place"
"""What the one daemon of all machines claims."""

CUT_SHORT = "the reconciler ended before the attempt did"


class History(OrderBook):
    """
    One database, for any number of threads and processes.

    Every method is one transaction, and raises StateError, naming the file and what to
    do, when the database cannot be used. Times are seconds since the epoch.
    """

    def __init__(self, database: Database, locks: HostLocks) -> None:
        self.outbox = Outbox(database)
        self.brought = BroughtRows(database)
        self._database = database
        self._locks = locks
        self.deliveries = Deliveries(database)
        self.lookings = Lookings(database)
        self.machines = Machines(database)
        self.reports = Reports(database)
        self.repository = RepositoryState(database)
        self.systems = Systems(database)
        self.takes = Takes(database)
        self.turns = Turns(database)
        self.workers = Workers(database)

    @classmethod
    def open(
        cls,
        url_or_path: str | Path,
        *,
        read_only: bool = False,
        locks: Path | None = None,
    ) -> Self:
        """
        Open the database, make it if need be, and bring its schema up to date.

        A path means SQLite; text with ``://`` is a URL as SQLAlchemy takes it, and
        needs the *locks* directory, which otherwise lies beside the file. *read_only*
        writes nothing at all, neither to the file nor beside it, if it can be helped.
        """
        path = file_of(url_or_path)
        locks = locks or (path.parent / "locks" if path else None)
        if locks is None:
            message = "a database elsewhere needs a directory for the locks"
            raise ValueError(message)
        database = database_at(url_or_path, read_only=read_only)
        try:
            ready = migrate.require_current if read_only else migrate.bring_up_to_date
            ready(database)
            database.opened()
        except BaseException:
            database.close()
            raise
        return cls(database, HostLocks(locks, database.claim))

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def line(self) -> Line:
        """Return the line by which this process is a worker among others."""
        return Line(self._database, self.takes)

    def driver(self, own: str, *, settle: bool) -> str:
        """
        Return the id by which hosts know who changes them: *own*, or the shared one.

        Where there is none yet, *settle* has it be *own* from now on.
        """
        if not self._database.shared:
            return own
        query = select(identity.c.driver)
        with self._database.reading() as connection:
            if (known := connection.execute(query).scalar()) is not None:
                return str(known)
        if not settle:
            return own
        with self._database.writing(durable=True) as connection:
            known = connection.execute(query).scalar()
            if known is None:
                connection.execute(insert(identity).values(id=1, driver=own))
        return str(known or own)

    @property
    def shared(self) -> bool:
        """Whether several machines may work with the database at once."""
        return self._database.shared

    def at_once(self) -> contextlib.AbstractContextManager[None]:
        """Have all that this thread reads be of one state; nothing is written."""
        return self._database.at_once()

    def problem(self) -> str:
        """Say so if the database is not where it was opened; empty while it is."""
        return self._database.problem()

    def only_daemon(self) -> contextlib.AbstractContextManager[None]:
        """
        Be the one daemon of all machines that share the database.

        Raises ClaimedError, saying who is, and StateError. See `usurped`.
        """
        return self._database.claim(DAEMON, fences=True)

    def usurped(self) -> str:
        """
        Say so if another process has what this one alone is to have.

        It was cut off from the database for too long, and writes nothing any more.
        """
        return self._database.usurped()

    # --- attempts ----------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self, host: HostName) -> Iterator[None]:
        """
        Hold *host* against every other process and thread; hold it around an attempt.

        Raises HostBusyError, saying who has it, without waiting; also to a worker
        where another one has taken the host.
        """
        with self._locks.lock(host), self.takes.held(host):
            yield

    def begin(  # noqa: PLR0913 -- a column each
        self,
        *,
        host: HostName,
        commit: CommitId,
        verdict: Verdict,
        source: StorePath | None,
        target: StorePath,
        now: float,
        guard: Guard | None = None,
    ) -> Attempt:
        """
        Record an attempt, on the disk itself, before anything is touched.

        With a *guard* it can be followed to its end by another process.
        """
        with self._database.writing(durable=True) as connection:
            self.takes.require(connection, host)
            attempt = Attempt(
                id=attempt_rows.new_id(connection, now),
                host=host,
                commit=commit,
                verdict=verdict,
                source=source,
                target=target,
                began_at=now,
                owner=clean(this_process()),
            )
            attempt_rows.insert_attempt(connection, attempt)
            if guard is not None:
                attempt_rows.insert_guard(connection, attempt.id, guard)
        return attempt

    def log(self, attempt_id: str, lines: Sequence[str], *, now: float) -> None:
        """Append to an attempt's log, of which head and tail are kept (1 MiB)."""
        with self._database.writing() as connection:
            logs.append(connection, attempt_id, lines, now=now)

    def step(self, attempt_id: str, record: StepRecord) -> None:
        """Append a step that was carried out."""
        with self._database.writing() as connection:
            attempt_rows.insert_step(connection, attempt_id, record)

    def end(
        self,
        attempt_id: str,
        outcome: Outcome,
        *,
        message: str,
        now: float,
        reason: Reason | None = None,
    ) -> Attempt:
        """
        Record how an attempt ended and return it as it is kept.

        The first outcome stays: whoever comes second learns it from the answer.
        """
        with self._database.writing(durable=True) as connection:
            first = attempt_rows.end(
                connection, attempt_id, outcome, message=message, now=now
            )
            if first and reason is not None:
                attempt_rows.set_reason(connection, attempt_id, reason)
            return _one(connection, attempt_id)

    def guard(self, attempt_id: str) -> Guard | None:
        """Return what it takes to follow an attempt; None if it has no guardian."""
        with self._database.reading() as connection:
            return attempt_rows.guard_of(connection, attempt_id)

    def attempt(self, attempt_id: str) -> Attempt:
        """Return one attempt with its steps. Raises UnknownAttemptError."""
        with self._database.reading() as connection:
            return _one(connection, attempt_id)

    def attempt_log(self, attempt_id: str) -> list[str]:
        """Return the log of one attempt. Raises UnknownAttemptError."""
        with self._database.reading() as connection:
            return logs.read(connection, attempt_id)

    def attempts(
        self, *, host: HostName | None = None, limit: int = 20
    ) -> list[Attempt]:
        """Return the last attempts, newest first."""
        with self._database.reading() as connection:
            return attempt_rows.load(connection, attempt_rows.newest(host, limit))

    def unfinished(self, host: HostName | None = None) -> list[Attempt]:
        """Return the attempts that have no outcome, oldest first."""
        with self._database.reading() as connection:
            return attempt_rows.load(connection, attempt_rows.unfinished(host))

    def interrupt(self, *, now: float, message: str = CUT_SHORT) -> list[Attempt]:
        """
        End the attempts whose processes are gone as INTERRUPTED; return them.

        Whoever carries out an attempt holds its host's lock, so an attempt is left
        alone while anybody holds that; and so is one with a guardian on its host,
        which goes on there and has yet to be followed to its end.
        """
        return [
            self.end(attempt.id, Outcome.INTERRUPTED, message=message, now=now)
            for host in sorted({attempt.host for attempt in self.unfinished()})
            for attempt in self._abandoned(host)
            if self.guard(attempt.id) is None
        ]

    def abandon(
        self, host: HostName, *, now: float, why: str = "left the repository"
    ) -> None:
        """End, as INTERRUPTED, what was left unfinished on a host that is gone."""
        for attempt in self._abandoned(host):
            message = f"{host} {why} before the attempt had ended"
            self.end(attempt.id, Outcome.INTERRUPTED, message=message, now=now)

    def _abandoned(self, host: HostName) -> Iterator[Attempt]:
        try:
            with self._locks.lock(host):  # also of a host that no worker has any more
                # Read again: whoever held the lock a moment ago may have ended it.
                yield from (a for a in self.unfinished() if a.host == host)
        except HostBusyError:
            return

    def applied(self, host: HostName) -> StorePath | None:
        """
        Return the toplevel that was last confirmed on a host, and only tried since.

        Attempts that failed to bring back that very system take nothing from it; one at
        another system, however it ended, does.
        """
        with self._database.reading() as connection:
            return attempt_rows.applied(connection, host)

    def commits_of(self, host: HostName) -> dict[StorePath, CommitId]:
        """Return of which commit each system is that an attempt was to bring."""
        with self._database.reading() as connection:
            return attempt_rows.commits_of(connection, host)

    # --- hosts -------------------------------------------------------------------

    def save_status(self, status: HostStatus) -> None:
        """Replace what the last pass found on a host."""
        with self._database.writing() as connection:
            hosts.save(connection, status)

    def statuses(self, *, now: float | None = None) -> list[HostStatus]:
        """
        Return what the last passes found, by host, with the orders of this moment.

        Without *now* also holds that have just run out.
        """
        with self._database.reading() as connection:
            return hosts.load(connection, now)

    def delivered(self, host: HostName) -> frozenset[str]:
        """Return the paths of the keys that were delivered and not removed."""
        with self._database.reading() as connection:
            return hosts.delivered(connection, host)

    def note_delivered(self, host: HostName, paths: Iterable[str]) -> None:
        """
        Record, on the disk itself, where keys are about to be written.

        Before they are: a file that nobody remembers would never be removed. Paths
        only; what the files hold is no business of a database.
        """
        with self._database.writing(durable=True) as connection:
            hosts.note_delivered(connection, host, paths)

    def note_removed(self, host: HostName, paths: Iterable[str]) -> None:
        """Record that keys were removed."""
        with self._database.writing() as connection:
            hosts.note_removed(connection, host, paths)

    def forget_host(self, host: HostName) -> None:
        """
        Drop the status of a host that left the repository.

        Its attempts stay, and so does its machine: if the host comes back, another
        machine must not pass for it. What keys it was given stays known too, since
        they are still there; and so do holds and quarantines, which only a person may
        take back: the same machine may come under another name.
        """
        with self._database.writing() as connection:
            hosts.forget(connection, host)
            systems.forget(connection, host)
            lookings.forget(connection, host)
            turns.forget(connection, host)
            forget_report(connection, host)

    # --- commits and evaluations -------------------------------------------------

    def save_commit(self, commit: Commit) -> None:
        """Record *commit* as the one that was seen last."""
        with self._database.writing() as connection:
            connection.execute(delete(commits).where(commits.c.id == commit.id))
            connection.execute(
                insert(commits).values(
                    id=commit.id,
                    tree=commit.tree,
                    branch=clean(commit.branch),
                    subject=clean(commit.subject),
                    author=clean(commit.author),
                    committed_at=commit.committed_at,
                )
            )

    def last_commit(self) -> Commit | None:
        """Return the commit that was seen last, also if it is an older one again."""
        query = select(commits).order_by(commits.c.seq.desc()).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Commit(
            id=CommitId(row.id),
            tree=row.tree,
            branch=row.branch,
            subject=row.subject,
            author=row.author,
            committed_at=row.committed_at,
        )

    def evaluation(self, key: str) -> str | None:
        """Return the text that was saved under *key*."""
        query = select(evaluations.c.text).where(evaluations.c.key == key)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    def save_evaluation(self, key: str, text: str, *, now: float) -> None:
        """Save *text* under *key*, replacing what was there."""
        with self._database.writing() as connection:
            connection.execute(delete(evaluations).where(evaluations.c.key == key))
            connection.execute(
                insert(evaluations).values(key=key, text=text, saved_at=now)
            )

    # --- events ------------------------------------------------------------------

    def event(
        self,
        *,
        now: float,
        kind: str,
        text: str,
        host: HostName | None = None,
        actor: str = "",
    ) -> None:
        """Add to the audit log. Nothing here changes or deletes an event."""
        event = Event(at=now, kind=kind, host=host, actor=actor, text=text)
        with self._database.writing(durable=True) as connection:
            event_rows.add(connection, event)

    def events(self, *, host: HostName | None = None, limit: int = 100) -> list[Event]:
        """Return the last events, newest first."""
        with self._database.reading() as connection:
            return event_rows.load(connection, host, limit)

    def prune(self, *, now: float, keep: Retention | None = None) -> None:
        """Delete what is older or more than *keep* says."""
        with self._database.writing() as connection:
            retention.prune(connection, keep or Retention(), now=now)


def database_at(url_or_path: str | Path, *, read_only: bool) -> Database:
    """Return the database, whose form was not looked at. Raises StateError."""
    if (path := file_of(url_or_path)) is not None:
        return open_file(path, read_only=read_only)
    # Half of SQLAlchemy's dialects is not for those who have a file.
    from reconciler.history.postgresql import PostgreSQL  # noqa: PLC0415

    return PostgreSQL(str(url_or_path), read_only=read_only)


def _one(connection: Connection, attempt_id: str) -> Attempt:
    query = select(attempts).where(attempts.c.id == attempt_id)
    found = attempt_rows.load(connection, query)
    if not found:
        raise UnknownAttemptError(attempt_id)
    return found[0]
