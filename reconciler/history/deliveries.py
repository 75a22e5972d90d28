"""Which webhook deliveries were taken, so that a restart does not take them again."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select

from reconciler.history.database import Database
from reconciler.history.schema import deliveries

KEPT = 5000
"""Deliveries that are remembered; the oldest go first."""


class Deliveries:
    """Deliveries, each by a digest. Raises StateError as History does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self) -> list[str]:
        """Return the digests, oldest first."""
        query = select(deliveries.c.digest).order_by(deliveries.c.seq)
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def note(self, digests: Sequence[str], *, now: float) -> None:
        """Remember *digests*, and forget as many old ones as there are too many."""
        if not digests:
            return
        rows = [{"digest": digest, "at": now} for digest in dict.fromkeys(digests)]
        last = select(deliveries.c.seq).order_by(deliveries.c.seq.desc())
        keep = last.limit(KEPT).subquery()
        with self._database.writing() as connection:
            known = deliveries.c.digest.in_([row["digest"] for row in rows])
            connection.execute(delete(deliveries).where(known))
            connection.execute(insert(deliveries), rows)
            connection.execute(
                delete(deliveries).where(deliveries.c.seq.not_in(select(keep.c.seq)))
            )
