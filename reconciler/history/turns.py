"""
Turns: what only one host of the fleet does at a time.

Kept in history, so that a restart gives no turn on that has not come to a good end, and
so that a plan can see who may go.
"""

from sqlalchemy import Connection, delete, insert, select, update

from reconciler.history.database import Database
from reconciler.history.schema import turns
from reconciler.model import HostName, Turn

_REBOOT = turns.c.what == "reboot"


class Turns:
    """Part of `History`, with the same promises: whose turn it is to be rebooted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reboot(self) -> Turn | None:
        """Return whose turn it is, if it is anybody's."""
        with self._database.reading() as connection:
            return _reboot(connection)

    def take_reboot(self, host: HostName, *, now: float) -> bool:
        """Return whether it is the turn of *host*, which takes it if it is free."""
        with self._database.writing(durable=True) as connection:
            found = _reboot(connection)
            if found is None:
                fields = {"what": "reboot", "host": host, "since": now}
                connection.execute(insert(turns).values(**fields, boot_id=""))
        return found is None or found.host == host

    def begin_reboot(self, host: HostName, boot_id: str) -> None:
        """Note that *host*, if it is its turn, is about to leave a boot."""
        with self._database.writing(durable=True) as connection:
            mine = update(turns).where(_REBOOT, turns.c.host == host)
            connection.execute(mine.values(boot_id=boot_id))

    def end_reboot(self, host: HostName, *, unless_begun: bool = False) -> None:
        """Let the next one go, if it was the turn of *host*."""
        turn = self.reboot()
        if turn is None or turn.host != host or (unless_begun and turn.begun):
            return
        with self._database.writing() as connection:
            forget(connection, host)


def forget(connection: Connection, host: HostName) -> None:
    """Take every turn from *host*."""
    connection.execute(delete(turns).where(turns.c.host == host))


def _reboot(connection: Connection) -> Turn | None:
    row = connection.execute(select(turns).where(_REBOOT)).first()
    if row is None:
        return None
    return Turn(host=HostName(row.host), since=row.since, boot_id=row.boot_id)
