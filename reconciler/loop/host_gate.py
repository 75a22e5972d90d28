"""How soon a host may be touched again, and what was reached already."""

import threading

from reconciler.loop.queue import Backoff
from reconciler.model import CommitId, HostName


class Gate:
    """
    Spaces out attempts on one host.

    Every attempt makes the next one wait longer, whether it failed or not: a service
    that dies a second after each successful start must not be restarted for ever at
    full speed. A pass that finds nothing to do, or a new commit, ends the wait.
    """

    def __init__(self, backoff: Backoff[HostName]) -> None:
        self._backoff = backoff
        self._lock = threading.Lock()
        self._not_before: dict[HostName, float] = {}
        self._reached: dict[HostName, CommitId] = {}
        self._stale: set[HostName] = set()

    def tried(self, host: HostName, now: float) -> None:
        """Note that an attempt ended at *now*, on World.monotonic as all times here."""
        wait = self._backoff.failed(host)
        with self._lock:
            self._not_before[host] = now + wait

    def wait(self, host: HostName, now: float) -> float:
        """Return the seconds until the next attempt is allowed; 0 if it is now."""
        return max(0.0, self._not_before.get(host, 0.0) - now)

    def aim(self, host: HostName, *, stale: bool) -> None:
        """
        Note what is aimed at, before any attempt.

        While a newer commit is evaluated, that is what the one before says, which is
        *stale*. The newer one need not wait for what was done meanwhile.
        """
        with self._lock:
            newer = not stale and host in self._stale
            (self._stale.add if stale else self._stale.discard)(host)
        if newer:
            self.forget(host)

    def forget(self, host: HostName) -> None:
        """Allow an attempt at once."""
        with self._lock:
            self._not_before.pop(host, None)
        self._backoff.forget(host)

    def first_time(self, host: HostName, commit: CommitId) -> bool:
        """Return whether *host* reaches *commit* for the first time, and note it."""
        with self._lock:
            first = self._reached.get(host) != commit
            self._reached[host] = commit
        return first
