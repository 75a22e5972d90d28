"""
What one process has for itself in a database that several machines share.

A claim is an advisory lock of PostgreSQL, held by a session that does nothing else. It
ends with its session: with the process, its machine, or PostgreSQL. Then it is claimed
again as soon as PostgreSQL answers, unless another process was quicker.
"""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError

from reconciler.errors import ClaimedError

_TAKE = text("SELECT pg_try_advisory_lock(:key)")
_GIVE_BACK = text("SELECT pg_advisory_unlock(:key)")
_LOCKS = """
    FROM pg_locks AS lock LEFT JOIN pg_stat_activity AS session USING (pid)
    WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 1
    AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND lock.classid::bigint = :high AND lock.objid::bigint = :low
"""
_OWNER = text(f"SELECT session.application_name {_LOCKS}")
_STANDS = text(f"SELECT count(*) {_LOCKS} AND lock.pid = :session")
_SESSION = text("SELECT pg_backend_pid()")


class Claims:
    """The claims of this process; any thread may call any method."""

    def __init__(self, connect: Callable[[], Connection], name: str) -> None:
        """*connect* opens a connection outside of a transaction, that is ours alone."""
        self._connect = connect
        self._name = name
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._number = 0  # of the session
        self._held: dict[str, bool] = {}  # whether it fences
        self._usurped: dict[str, str] = {}  # by whom

    def close(self) -> None:
        """End the session, and every claim with it."""
        with self._lock:
            self._drop()

    @contextlib.contextmanager
    def hold(self, what: str, *, fences: bool) -> Iterator[None]:
        """
        Have *what* for this process alone. Raises ClaimedError, DBAPIError.

        If it *fences*, nothing is written any more once another process has it.
        """
        with self._lock:
            self._alive()
            owner = self._try(what)
            if owner is not None:
                raise ClaimedError(self._name, what, owner=owner)
            self._held[what] = fences
        try:
            yield
        finally:
            with self._lock:
                self._give_back(what)

    def usurped(self) -> str:
        """Look after the claims; return which that fence others have had since."""
        with self._lock:
            if self._held:
                with contextlib.suppress(DBAPIError):  # whoever needs it will complain
                    self._alive()
            told = [f"{what}: {owner}" for what, owner in self._usurped.items()]
        return "; ".join(told)

    def require(self, connection: Connection) -> None:
        """
        Raise ClaimedError unless what we claimed is ours in this transaction.

        A process that was cut off must not write what another one has by now.
        """
        with self._lock:
            for what in (what for what, fences in self._held.items() if fences):
                known = {**_key_parts(what), "session": self._number}
                if not connection.execute(_STANDS, known).scalar_one():
                    self._claim_again()
                    break
            for what, owner in self._usurped.items():
                raise ClaimedError(self._name, what, owner=owner)

    def _alive(self) -> None:
        """Have a session that answers, with all claims that nobody else has by now."""
        # The other error is of a session that had ended when a claim was given back.
        with contextlib.suppress(DBAPIError, InvalidRequestError):
            if self._connection is not None:
                self._connection.execute(_SESSION)
                return
        self._claim_again()

    def _claim_again(self) -> None:
        """Claim all of it in a new session, or have none: half of it is no claim."""
        self._drop()
        try:
            self._connection = self._connect()
            self._number = self._connection.execute(_SESSION).scalar_one()
            for what in sorted(self._held):
                owner = self._try(what)
                if owner is not None and self._held[what]:
                    self._usurped[what] = owner
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(DBAPIError):
                self._connection.invalidate()
                self._connection.close()
        self._connection = None

    def _try(self, what: str) -> str | None:
        """Claim *what*; return whose it is instead, None if it is ours now."""
        connection = self._connection
        if connection is None:
            return ""
        if connection.execute(_TAKE, {"key": _key(what)}).scalar_one():
            return None
        owner = connection.execute(_OWNER, _key_parts(what)).scalar()
        return str(owner or "")

    def _give_back(self, what: str) -> None:
        self._held.pop(what, None)
        self._usurped.pop(what, None)
        with contextlib.suppress(DBAPIError):  # then it has ended already
            if self._connection is not None:
                self._connection.execute(_GIVE_BACK, {"key": _key(what)})


def _key(what: str) -> int:
    """Return the number that PostgreSQL knows *what* by: 64 bits."""
    digest = hashlib.sha256(f"reconciler {what}".encode("utf-8", "surrogateescape"))
    return int.from_bytes(digest.digest()[:8], "big", signed=True)


def _key_parts(what: str) -> dict[str, Any]:
    """Return its halves, as ``pg_locks`` shows them."""
    number = _key(what) & (1 << 64) - 1
    return {"high": number >> 32, "low": number & (1 << 32) - 1}
