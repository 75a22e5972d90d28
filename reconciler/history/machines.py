"""
Which machine answers under which name, and which names lead to one machine.

A machine is told by its machine id. Clones of one disk share that, and are told apart
by their boots: two boots that were up at the same time are two machines. One boot under
two names is one machine. As long as neither is known, the names are `Shared.alike`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    delete,
    insert,
    select,
    update,
)

from reconciler.history.database import Database
from reconciler.history.orders import inherit
from reconciler.history.records import clean
from reconciler.history.schema import apart, delivered_keys, machines
from reconciler.model import HostName

Pair = tuple[HostName, HostName]
OneRow = Row[tuple[object, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What was seen under a name."""

    machine_id: str
    boot_id: str
    began_at: float  # the look; it was up at some time between this
    ended_at: float  # and this


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The other names that the last commit has for one machine."""

    same: frozenset[HostName] = frozenset()
    alike: frozenset[HostName] = frozenset()  # they may be: the next looks will tell
    inherited: bool = False  # what was known under a former name is known now


class Machines:
    """Part of `History`, with the same promises."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names: frozenset[HostName] | None = None  # that the last commit has

    def id_of(self, host: HostName) -> str | None:
        """Return the id of the machine that we first met under the name."""
        query = select(machines.c.machine_id).where(machines.c.host == host)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one_or_none()

    def shared(self, host: HostName, seen: Sighting) -> Shared:
        """Return which other names lead to the machine that was *seen*."""
        with self._database.reading() as connection:
            others = _others(connection, host, seen)
            known = _apart_from(connection, host)
        return _shared(others, known, seen)

    def meet(self, host: HostName, seen: Sighting) -> Shared:
        """
        Record which machine answers under a name; return as `shared` does.

        A name that the last commit has no more leaves what was ordered about its
        machine, and which keys that was given, to the name that it has now. Where
        there is nothing to learn, nothing is written.
        """
        with self._database.reading() as connection:
            mine = connection.execute(_row_of(host)).first()
            others = _others(connection, host, seen)
            known = _apart_from(connection, host)
        if _is_settled(mine, others, known, seen):
            return _shared(others, known, seen)
        with self._database.writing() as connection:
            # Asked here: the look may have begun before a commit that has no such name.
            names = self._names
            declared = names is None or host in names
            noted = _note(connection, host, seen, declared=declared)
            for other in _others(connection, host, seen):
                _tell_apart(connection, noted, other)
            known = _apart_from(connection, host)
            former = [
                HostName(other.host)
                for other in _others(connection, host, seen)
                if not other.declared and other.host not in known
            ]
            for name in former:
                _inherit(connection, name, host, seen.ended_at)
        found = self.shared(host, seen)
        return Shared(same=found.same, alike=found.alike, inherited=bool(former))

    def forget(self, host: HostName) -> None:
        """Forget which machine answers under the name: the next one is believed."""
        with self._database.writing() as connection:
            _forget(connection, host)

    def declare(self, hosts: Iterable[HostName]) -> None:
        """Note which names the last commit has."""
        self._names = names = frozenset(hosts)
        with self._database.writing() as connection:
            rows = connection.execute(select(machines.c.host, machines.c.declared))
            for row in rows.all():
                if row.declared != (row.host in names):
                    changed = update(machines).where(machines.c.host == row.host)
                    connection.execute(changed.values(declared=row.host in names))


def _shared(
    others: Sequence[OneRow], known: frozenset[HostName], seen: Sighting
) -> Shared:
    """Return what *others*, and those that are *known* to be apart, tell."""
    names = frozenset(HostName(one.host) for one in others if one.declared)
    certain = names & {one.host for one in others if one.boot_id == seen.boot_id}
    return Shared(same=certain, alike=names - certain - known)


def _is_settled(
    mine: OneRow | None,
    others: Sequence[OneRow],
    known: frozenset[HostName],
    seen: Sighting,
) -> bool:
    """Return whether a look tells nothing that is not recorded."""
    boot = (clean(seen.machine_id), clean(seen.boot_id), True)
    if mine is None or (mine.machine_id, mine.boot_id, mine.declared) != boot:
        return False
    left = [one for one in others if one.host not in known]
    return all(one.declared and one.boot_id == mine.boot_id for one in left)


def _row_of(host: HostName) -> Select[tuple[object, ...]]:
    return select(machines).where(machines.c.host == host)


def _note(
    connection: Connection, host: HostName, seen: Sighting, *, declared: bool
) -> OneRow:
    before = connection.execute(_row_of(host)).first()
    fields = {"machine_id": clean(seen.machine_id), "boot_id": clean(seen.boot_id)}
    first = seen.ended_at
    if before is not None and before.boot_id == fields["boot_id"]:
        first = before.first_seen
    _forget_row(connection, host)
    connection.execute(
        insert(machines).values(
            host=host,
            **fields,
            first_seen=first,
            last_seen=seen.began_at,
            declared=declared,
        )
    )
    return connection.execute(_row_of(host)).one()


def _others(connection: Connection, host: HostName, seen: Sighting) -> list[OneRow]:
    """Return the other names under which the same machine id was seen."""
    machine = clean(seen.machine_id)
    same = (machines.c.machine_id == machine) & (machines.c.machine_id != "")
    query = select(machines).where(same, machines.c.host != host)
    return list(connection.execute(query.order_by(machines.c.host)))


def _tell_apart(
    connection: Connection,
    mine: OneRow,
    other: OneRow,
) -> None:
    """Record it if one boot proves two names to be one machine, or two to be two."""
    pair = (mine.host, other.host)
    if mine.boot_id == other.boot_id:
        connection.execute(delete(apart).where(_is_pair(pair)))
        return
    began = max(mine.first_seen, other.first_seen)
    if began <= min(mine.last_seen, other.last_seen):
        connection.execute(delete(apart).where(_is_pair(pair)))
        connection.execute(insert(apart).values(host=mine.host, other=other.host))


def _apart_from(connection: Connection, host: HostName) -> frozenset[HostName]:
    query = select(apart).where((apart.c.host == host) | (apart.c.other == host))
    rows = connection.execute(query)
    return frozenset(name for row in rows for name in row if name != host)


def _is_pair(pair: Pair) -> ColumnElement[bool]:
    return apart.c.host.in_(pair) & apart.c.other.in_(pair)


def _inherit(connection: Connection, old: HostName, new: HostName, now: float) -> None:
    """Have a machine keep under its new name what was known under the *old* one."""
    inherit(connection, old, new, now=now)
    paths = delivered_keys.c.path
    had = select(paths).where(delivered_keys.c.host == new)
    keys = delivered_keys.c.host == old
    moved = update(delivered_keys).where(keys, paths.not_in(had))
    connection.execute(moved.values(host=new))
    connection.execute(delete(delivered_keys).where(keys))
    _forget(connection, old)


def _forget(connection: Connection, host: HostName) -> None:
    _forget_row(connection, host)
    pairs = (apart.c.host == host) | (apart.c.other == host)
    connection.execute(delete(apart).where(pairs))


def _forget_row(connection: Connection, host: HostName) -> None:
    connection.execute(delete(machines).where(machines.c.host == host))
