"""
What people, and the program itself, ordered: holds, quarantines, approvals.

Each change is an event as well, in the same transaction. So the audit log is also how
one process learns what another one ordered: `OrderBook.orders_since`.
"""

import time

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from reconciler.history import events, systems, turns
from reconciler.history.adoption import note_adoption
from reconciler.history.database import Database
from reconciler.history.records import Event, Ordered, approval_of_adoption, clean
from reconciler.history.schema import approvals, holds, quarantines
from reconciler.model import Hold, HostName, Quarantine, StorePath

HOLD, RELEASE, HOLD_ENDED = "hold", "release", "hold-ended"
QUARANTINE, RETRY, APPROVE = "quarantine", "retry", "approve"
ROLLBACK, ADOPT = "rollback", "adopt"
ORDERS = frozenset({HOLD, RELEASE, HOLD_ENDED, RETRY, APPROVE, ADOPT, ROLLBACK})
"""The kinds of event after which a host, or the repository, is to be looked at."""


class OrderBook:
    """The part of `History` that is about orders; see there."""

    _database: Database

    # --- holds -------------------------------------------------------------------

    def hold(self, hold: Hold) -> None:
        """Hold a host; a hold that there is gives way to the new one."""
        with self._database.writing(durable=True) as connection:
            _drop_hold(connection, hold.host)
            connection.execute(
                insert(holds).values(
                    host=hold.host,
                    reason=clean(hold.reason),
                    actor=clean(hold.actor),
                    since=hold.since,
                    until=hold.until,
                )
            )
            until = f" (until {_moment(hold.until)})" if hold.until is not None else ""
            _note(
                connection,
                kind=HOLD,
                host=hold.host,
                now=hold.since,
                actor=hold.actor,
                text=f"{hold.reason}{until}",
            )

    def release(
        self, host: HostName, *, now: float, actor: str = "", reason: str = ""
    ) -> bool:
        """Let go of a host; return whether it was held."""
        with self._database.writing(durable=True) as connection:
            held = _drop_hold(connection, host)
            if held:
                _note(
                    connection,
                    kind=RELEASE,
                    host=host,
                    now=now,
                    actor=actor,
                    text=reason,
                )
        return held

    def end_holds(self, now: float) -> list[HostName]:
        """Clean up the holds that have run out; return whose they were."""
        over = holds.c.until <= now
        with self._database.reading() as connection:
            if connection.execute(select(holds.c.host).where(over)).first() is None:
                return []
        with self._database.writing() as connection:
            found = list(_holds(connection, over))
            for hold in found:
                _drop_hold(connection, hold.host)
                _note(
                    connection,
                    kind=HOLD_ENDED,
                    host=hold.host,
                    now=now,
                    text=f"the time of this hold is over: {hold.reason}",
                )
        return [hold.host for hold in found]

    def hold_of(self, host: HostName, now: float) -> Hold | None:
        """Return the hold of a host, unless it has run out."""
        with self._database.reading() as connection:
            found = _holds(connection, holds.c.host == host)
        return next((hold for hold in found if hold.holds(now)), None)

    def holds(self, now: float) -> list[Hold]:
        """Return every hold that has not run out, by host."""
        with self._database.reading() as connection:
            return [hold for hold in _holds(connection) if hold.holds(now)]

    # --- quarantines -------------------------------------------------------------

    def quarantine(self, quarantine: Quarantine) -> Quarantine:
        """
        Remember that a toplevel failed on a host; return what is remembered then.

        Of one that failed before, the failures add up and the first time stays.
        """
        host, toplevel = quarantine.host, quarantine.toplevel
        with self._database.writing(durable=True) as connection:
            same = _of(host, toplevel)
            before = next(iter(_quarantines(connection, same)), None)
            connection.execute(delete(quarantines).where(same))
            connection.execute(
                insert(quarantines).values(
                    host=host,
                    toplevel=toplevel,
                    reason=clean(quarantine.reason),
                    since=before.since if before else quarantine.since,
                    attempt=quarantine.attempt,
                    failures=quarantine.failures + (before.failures if before else 0),
                )
            )
            _note(
                connection,
                kind=QUARANTINE,
                host=host,
                now=quarantine.since,
                text=f"{toplevel}: {quarantine.reason}",
            )
            (found,) = _quarantines(connection, same)
        return found

    def quarantine_of(self, host: HostName, toplevel: StorePath) -> Quarantine | None:
        """Return whether, and how, a toplevel failed on a host."""
        with self._database.reading() as connection:
            return next(iter(_quarantines(connection, _of(host, toplevel))), None)

    def quarantines(self) -> list[Quarantine]:
        """Return every toplevel that failed somewhere, by host, oldest first."""
        with self._database.reading() as connection:
            return _quarantines(connection)

    def lift(
        self, host: HostName, *, now: float, actor: str = "", reason: str = ""
    ) -> bool:
        """
        Forget which toplevels failed on a host, and have it tried again at once.

        Also that it was rebooted in vain, and others may be now. Returns whether there
        were any quarantines; the order counts in either case.
        """
        with self._database.writing(durable=True) as connection:
            lifted = drop_quarantines(connection, host)
            systems.forget_reboot(connection, host)
            turns.forget(connection, host)
            _note(connection, kind=RETRY, host=host, now=now, actor=actor, text=reason)
        return lifted

    # --- approvals ---------------------------------------------------------------

    def approve(
        self,
        what: str,
        *,
        now: float,
        actor: str = "",
        host: HostName | None = None,
        reason: str = "",
    ) -> None:
        """Record that *what* may pass; *host* is the one that it is about, if any."""
        text = f"{what}: {reason}" if reason else what
        with self._database.writing(durable=True) as connection:
            connection.execute(delete(approvals).where(approvals.c.what == what))
            connection.execute(
                insert(approvals).values(what=what, actor=clean(actor), at=now)
            )
            _note(connection, kind=APPROVE, host=host, now=now, actor=actor, text=text)

    def is_approved(self, what: str) -> bool:
        """Return whether somebody said that *what* may pass."""
        query = select(approvals.c.what).where(approvals.c.what == what)
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def withdraw(self, what: str) -> None:
        """Have *what* pass no more, if it may."""
        if self.is_approved(what):
            with self._database.writing() as connection:
                connection.execute(delete(approvals).where(approvals.c.what == what))

    def adopt(
        self, host: HostName, *, now: float, actor: str = "", reason: str = ""
    ) -> bool:
        """Record that a host is given to us; return whether it was not before."""
        with self._database.writing(durable=True) as connection:
            new = note_adoption(connection, host, now=now, actor=actor)
            if new:
                event = Event(at=now, kind=ADOPT, host=host, actor=actor, text=reason)
                events.add(connection, event)
        return new

    def is_adopted(self, host: HostName) -> bool:
        """Return whether a host was ever in sync under us, or given to us."""
        return self.is_approved(approval_of_adoption(host))

    # --- news --------------------------------------------------------------------

    def orders_serial(self) -> int:
        """Return a number that grows with every order, whoever gives it."""
        with self._database.reading() as connection:
            return events.serial(connection)

    def orders_since(self, serial: int) -> list[Ordered]:
        """Return what was ordered after *serial*, in order; cheap if it is nothing."""
        with self._database.reading() as connection:
            return events.since(connection, serial, ORDERS)


def holds_by_host(connection: Connection) -> dict[str, Hold]:
    """Return every hold that is recorded, also those that have run out."""
    return {hold.host: hold for hold in _holds(connection)}


def quarantines_by_system(connection: Connection) -> dict[tuple[str, str], Quarantine]:
    """Return every quarantine, by host and toplevel."""
    return {(one.host, one.toplevel): one for one in _quarantines(connection)}


def drop_quarantines(connection: Connection, host: HostName) -> bool:
    """Forget which toplevels failed on a host; return whether there were any."""
    gone = connection.execute(delete(quarantines).where(quarantines.c.host == host))
    return bool(gone.rowcount)


def inherit(
    connection: Connection, old: HostName, new: HostName, *, now: float
) -> None:
    """
    Have what was ordered about a host stick to its machine, which has a *new* name.

    Else a commit that renames a host would end its hold.
    """
    _inherit_hold(connection, old, new, now)
    failed = select(quarantines.c.toplevel).where(quarantines.c.host == new)
    same = quarantines.c.host == old
    known = quarantines.c.toplevel.in_(failed)
    connection.execute(delete(quarantines).where(same, known))
    connection.execute(update(quarantines).where(same).values(host=new))
    prefix = f"{old}: "
    of_old = approvals.c.what.startswith(prefix, autoescape=True)
    for row in connection.execute(select(approvals).where(of_old)).all():
        what = f"{new}: {row.what.removeprefix(prefix)}"
        connection.execute(delete(approvals).where(approvals.c.what == what))
        mine = update(approvals).where(approvals.c.what == row.what)
        connection.execute(mine.values(what=what))


def _inherit_hold(
    connection: Connection, old: HostName, new: HostName, now: float
) -> None:
    former = next(iter(_holds(connection, holds.c.host == old)), None)
    if former is None:
        return
    if not _holds(connection, holds.c.host == new):
        mine = update(holds).where(holds.c.host == old)
        connection.execute(mine.values(host=new))
        text = f"its machine was held as {old}: {former.reason}"
        _note(connection, kind=HOLD, host=new, now=now, actor=former.actor, text=text)
    _drop_hold(connection, old)


def _drop_hold(connection: Connection, host: HostName) -> bool:
    gone = connection.execute(delete(holds).where(holds.c.host == host))
    return bool(gone.rowcount)


def _note(
    connection: Connection,
    *,
    kind: str,
    host: HostName | None,
    now: float,
    actor: str = "",
    text: str = "",
) -> None:
    event = Event(at=now, kind=kind, host=host, actor=actor, text=text)
    events.add(connection, event)


def _of(host: HostName, toplevel: StorePath) -> ColumnElement[bool]:
    return (quarantines.c.host == host) & (quarantines.c.toplevel == toplevel)


def _holds(connection: Connection, *which: ColumnElement[bool]) -> list[Hold]:
    query = select(holds).where(*which).order_by(holds.c.host)
    return [_hold(row) for row in connection.execute(query)]


def _hold(row: Row[tuple[object, ...]]) -> Hold:
    return Hold(
        host=HostName(row.host),
        reason=row.reason,
        actor=row.actor,
        since=row.since,
        until=row.until,
    )


def _quarantines(
    connection: Connection, *which: ColumnElement[bool]
) -> list[Quarantine]:
    order = (quarantines.c.host, quarantines.c.seq)
    query = select(quarantines).where(*which).order_by(*order)
    return [
        Quarantine(
            host=HostName(row.host),
            toplevel=StorePath(row.toplevel),
            reason=row.reason,
            since=row.since,
            attempt=row.attempt,
            failures=row.failures,
        )
        for row in connection.execute(query)
    ]


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
