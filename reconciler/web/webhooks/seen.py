"""Which deliveries were seen before: bounded, and remembered across restarts."""

import hashlib
import threading

import structlog

from reconciler.errors import StateError
from reconciler.history import Deliveries
from reconciler.history.deliveries import KEPT

_BYTES = 16  # of a digest that are kept; nobody else could choose what they are

log = structlog.get_logger(__name__)


class Seen:
    """
    Deliveries by a digest of route, id and body; any thread may ask.

    Only for those that were verified: else anybody could make us ignore one that is
    still to come. A body that differs makes another delivery, since not every forge
    gives each its own id. What was noted last is lost when the program is killed; a
    repetition costs one look at the repository.
    """

    def __init__(self, records: Deliveries, *, limit: int = KEPT) -> None:
        """Take what *records* know. Raises StateError."""
        self._records = records
        self._limit = limit
        self._lock = threading.Lock()
        self._known = dict.fromkeys(map(bytes.fromhex, records.known()[-limit:]))
        self._unsaved: list[bytes] = []

    def note(self, route: str, delivery: bytes, body: bytes) -> bool:
        """
        Note a delivery whose body has the digest *body*; say whether it is new.

        One without an id is always new.
        """
        if not delivery:
            return True
        parts = b"\0".join([route.encode(), hashlib.sha256(delivery).digest(), body])
        digest = hashlib.sha256(parts).digest()[:_BYTES]
        with self._lock:
            if digest in self._known:
                return False
            self._known[digest] = None
            if len(self._known) > self._limit:
                del self._known[next(iter(self._known))]
            self._unsaved.append(digest)
            del self._unsaved[: -self._limit]
        return True

    def save(self, now: float) -> None:
        """Write down what was noted since the last time."""
        with self._lock:
            digests, self._unsaved = self._unsaved, []
        try:
            self._records.note([digest.hex() for digest in digests], now=now)
        except StateError as error:
            log.warning("cannot remember deliveries", error=str(error))
