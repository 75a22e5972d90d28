"""What hosts that deploy themselves have reported, the last of each."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from reconciler.history.database import Database
from reconciler.history.schema import reports
from reconciler.model import HostName


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReport:
    """A report as it was taken."""

    number: int
    at: float  # it came
    text: str


class Reports:
    """Reports, one for each host. Raises StateError as History does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def last(self, host: HostName) -> KeptReport | None:
        """Return the last report of *host*, if there is one."""
        with self._database.reading() as connection:
            return _last(connection, host)

    def take(self, host: HostName, report: KeptReport) -> bool:
        """
        Keep *report* in the place of the last one of *host*; return whether it is new.

        One that does not have a greater number is not.
        """
        with self._database.writing() as connection:
            last = _last(connection, host)
            if last is not None and report.number <= last.number:
                return False
            forget(connection, host)
            connection.execute(
                insert(reports).values(
                    host=host, number=report.number, at=report.at, text=report.text
                )
            )
            return True


def forget(connection: Connection, host: HostName) -> None:
    """Delete the report of a host."""
    connection.execute(delete(reports).where(reports.c.host == host))


def times(connection: Connection) -> dict[HostName, float]:
    """Return when each host that deploys itself has last reported."""
    rows = connection.execute(select(reports.c.host, reports.c.at))
    return {HostName(row.host): row.at for row in rows}


def _last(connection: Connection, host: HostName) -> KeptReport | None:
    query = select(reports).where(reports.c.host == host)
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return KeptReport(number=row.number, at=row.at, text=row.text)
