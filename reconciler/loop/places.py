"""
Places of passes: as many hosts are worked on at once as the policy says.

Looking for a host that does not answer takes as long as a deadline, and there may be
many: they have places of their own, so that those that answer never wait for them. Of
these there are as many again, and a host that turns out to be there moves on.
"""

import threading
from collections import deque

from reconciler.attempt.guarded_switch import OutOfSightError
from reconciler.errors import ConnectError, RemoteTimeoutError
from reconciler.loop.results import Failed, Result
from reconciler.model import HostName


class _Row:
    """
    So many places, given in the order in which they were asked for.

    Of `threading.Semaphore` whoever asks just then may take a place before those that
    wait for one: where the queue never runs empty, a host may so wait for minutes.
    """

    def __init__(self, number: int) -> None:
        self._number = self._free = number
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Count those who wait."""
        with self._lock:
            return len(self._waiting)

    def acquire(self, *, blocking: bool = True) -> bool:
        """Take a place, once there is one; return whether it was taken."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            if not blocking:
                return False
            given = threading.Event()
            self._waiting.append(given)
        given.wait()
        return True

    def release(self) -> None:
        """
        Give a place to who has waited the longest, or back.

        Raises ValueError if all are free.
        """
        with self._lock:
            if self._free == self._number:
                message = "a place was released too many times"
                raise ValueError(message)
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


class Places:
    """
    *number* places for hosts that answer, and as many for those that are away.

    A worker takes a host from the queue and enters with it. Nobody holds a place while
    it waits for a host: one that was found would wait for that place in vain.
    """

    def __init__(self, number: int) -> None:
        self.workers = 2 * number  # who all have something to do
        self._here = _Row(number)
        self._elsewhere = _Row(number)
        self._away: set[HostName] = set()  # did not answer when they were looked at
        self._looked_for: set[HostName] = set()  # that are in a place of their own
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many hosts wait for a place."""
        return len(self._here)

    # --- who is away -------------------------------------------------------------

    def lost(self, host: HostName) -> None:
        """Take it that *host* does not answer."""
        with self._lock:
            self._away.add(host)

    def forget(self, host: HostName) -> None:
        """Take it that *host* answers."""
        with self._lock:
            self._away.discard(host)

    def note(self, host: HostName, result: Result | None) -> None:
        """Note by the *result* of a pass whether *host* answers."""
        match result:
            case Failed(
                error=ConnectError() | OutOfSightError() | RemoteTimeoutError()
            ):
                self.lost(host)
            case _:
                self.forget(host)

    # --- places ------------------------------------------------------------------

    def enter(self, host: HostName) -> bool:
        """
        Wait for a place for *host*, or take another one at once if it is away.

        Return False if there is none of those.
        """
        with self._lock:
            away = host in self._away
        if not away:
            self._here.acquire()
            return True
        if not self._elsewhere.acquire(blocking=False):
            return False
        with self._lock:
            self._looked_for.add(host)
        return True

    def found(self, host: HostName) -> None:
        """Move on to a place for those that answer; wait for one."""
        with self._lock:
            if host not in self._looked_for:
                return
            self._looked_for.discard(host)
        self._elsewhere.release()
        self._here.acquire()

    def leave(self, host: HostName) -> None:
        """Give up the place of *host*."""
        with self._lock:
            away = host in self._looked_for
            self._looked_for.discard(host)
        (self._elsewhere if away else self._here).release()
