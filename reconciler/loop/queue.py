"""
The queue of names: what is to be looked at next, and by one worker at a time.

It keeps the contract of client-go's workqueue (``util/workqueue``): fair, stingy,
many producers and consumers, an orderly shutdown. It differs on purpose in three ways.

* An `Queue.add` cancels the delayed add of the same key. client-go lets both run. A
  pass reads everything afresh and says itself when it wants to look again, so what the
  delayed add was waiting for is done by the immediate one; and this is how a new commit
  cancels a back-off.
* Delays need no thread of their own: whoever touches the queue first moves in what has
  fallen due, in the order of the due times. So a test with a clock of its own sees
  exactly what threads see.
* `Queue.done` of a key that nobody holds raises, instead of being silently wrong.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
Clock = Callable[[], float]
Hear = Callable[[float], None]

CHANCE = random.Random()  # noqa: S311 -- no secret comes of it
"""Our own, since whoever else in the process seeds the common one means theirs."""


def _hear_nothing(_seconds: float) -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats(Generic[K]):
    """What the queue holds at one moment; the figures client-go's metrics show."""

    depth: int  # keys to run: queued, or to run again once their worker is done
    delayed: int  # keys whose time has not come
    adds: int  # adds since the start that were not duplicates
    retries: int  # delayed adds since the start
    processing: Mapping[K, float]  # seconds since each key was handed out
    unfinished: float  # sum of those seconds
    longest_running: float  # greatest of those seconds
    oldest_waiting: float  # seconds since the first of the queued keys was added


class Queue(Generic[K]):
    """
    First in, first out, without duplicates; a key is held by one worker at a time.

    Every key in ``_queue`` is in ``_dirty`` and not in ``_processing``. *waited* hears
    the seconds that a key waited when it is handed out, *worked* the seconds that its
    worker took when it is done. With a *clock* that stands still, only call
    ``get(timeout=0)``: nothing would wake a caller that waits.
    """

    def __init__(
        self,
        *,
        clock: Clock = time.monotonic,
        waited: Hear = _hear_nothing,
        worked: Hear = _hear_nothing,
    ) -> None:
        self._clock = clock
        self._waited = waited
        self._worked = worked
        self._changed = threading.Condition()
        self._queue: deque[K] = deque()
        self._dirty: dict[K, float] = {}  # key: when it was added
        self._processing: dict[K, float] = {}  # key: when it was handed out
        self._due: dict[K, float] = {}  # key: when its delay ends
        self._next_due = float("inf")  # no delay ends before this
        self._adds = 0
        self._retries = 0
        self._shut = False
        self._draining = False

    def add(self, key: K) -> None:
        """Ask for a run of *key* that begins from now on; ignored after `shut_down`."""
        with self._changed:
            now = self._settle()
            if self._shut:
                return
            self._due.pop(key, None)
            self._mark(key, now)

    def add_after(self, key: K, seconds: float) -> None:
        """
        Do `add` in so many *seconds*; of several delays the earliest end counts.

        Zero or less is now.
        """
        if not seconds > 0:
            self.add(key)
            return
        with self._changed:
            now = self._settle()
            if self._shut:
                return
            self._retries += 1
            due = min(now + seconds, self._due.get(key, float("inf")))
            self._due[key] = due
            if due < self._next_due:
                self._next_due = due
                self._changed.notify_all()

    def forget_delay(self, key: K) -> bool:
        """Drop the delayed add of *key*; return whether there was one."""
        with self._changed:
            self._settle()
            return self._due.pop(key, None) is not None

    def get(self, timeout: float | None = None) -> K | None:
        """
        Hand out the next key; the caller owes a `done`.

        Waits for at most *timeout* seconds, or for ever with None. Returns None when
        that time is over, or at once when the queue is shut down and empty.
        """
        with self._changed:
            now = self._settle()
            deadline = float("inf") if timeout is None else now + timeout
            while not self._queue:
                if self._shut or now >= deadline:
                    return None
                self._sleep(min(deadline, self._next_due) - now)
                now = self._settle()
            key, since = self._take(now)
        self._waited(now - since)
        return key

    def done(self, key: K) -> None:
        """
        Give *key* back; it runs again, behind the others, if it was added meanwhile.

        Raises RuntimeError if nobody holds it.
        """
        with self._changed:
            now = self._settle()
            if key not in self._processing:
                message = f"done({key!r}) without get"
                raise RuntimeError(message)
            began = self._processing.pop(key)
            if key in self._dirty:
                self._queue.append(key)
            self._changed.notify_all()
        self._worked(now - began)

    def shut_down(self, *, drain: bool = False, timeout: float | None = None) -> bool:
        """
        Take no more keys; those already queued are still handed out.

        Delayed adds are dropped. With *drain*, wait until every key was handed out and
        given back, for at most *timeout* seconds, or until someone calls `shut_down`
        without it. Return whether nothing is left.
        """
        with self._changed:
            self._settle()
            self._shut = True
            self._draining = drain
            self._due.clear()
            self._next_due = float("inf")
            self._changed.notify_all()
            if drain:
                self._changed.wait_for(
                    lambda: self._idle() or not self._draining, timeout
                )
            return self._idle()

    def __len__(self) -> int:
        """Count the keys that `get` would hand out now; out of date at once."""
        with self._changed:
            self._settle()
            return len(self._queue)

    def stats(self) -> QueueStats[K]:
        """Return what the queue holds, for metrics and for people."""
        with self._changed:
            now = self._settle()
            running = {key: now - began for key, began in self._processing.items()}
            return QueueStats(
                depth=len(self._dirty),
                delayed=len(self._due),
                adds=self._adds,
                retries=self._retries,
                processing=running,
                unfinished=sum(running.values()),
                longest_running=max(running.values(), default=0.0),
                oldest_waiting=now - min(map(self._added, self._queue), default=now),
            )

    def _settle(self) -> float:
        """Move in the keys whose delays are over, as if added then; return the time."""
        now = self._clock()
        if now < self._next_due:
            return now
        # A scan, not a heap: a fleet is hundreds of names, and a cancelled delay
        # leaves nothing behind that would have to be skipped or swept up.
        over = sorted(
            (pair for pair in self._due.items() if pair[1] <= now),
            key=lambda pair: pair[1],
        )
        for key, due in over:
            del self._due[key]
            self._mark(key, due)
        self._next_due = min(self._due.values(), default=float("inf"))
        return now

    def _mark(self, key: K, now: float) -> None:
        if key in self._dirty:
            return
        self._adds += 1
        self._dirty[key] = now
        if key not in self._processing:
            self._queue.append(key)
            self._changed.notify_all()

    def _take(self, now: float) -> tuple[K, float]:
        key = self._queue.popleft()
        self._processing[key] = now
        return key, self._dirty.pop(key)

    def _sleep(self, seconds: float) -> None:
        self._changed.wait(min(seconds, threading.TIMEOUT_MAX))

    def _added(self, key: K) -> float:
        return self._dirty[key]

    def _idle(self) -> bool:
        return not self._queue and not self._processing


class Backoff(Generic[K]):
    """
    How long to wait after failures in a row, per key.

    Exponential with full jitter: the n-th wait is drawn evenly from zero to the
    smaller of ``base * 2**(n - 1)`` and *cap*, both in seconds. Hosts that failed
    together, as after a network outage, so do not come back together. *base* may be a
    function, asked each time, of a setting that can change. *draw* returns a number
    from zero up to one.
    """

    def __init__(
        self,
        *,
        base: float | Callable[[], float] = 1.0,
        cap: float = 300.0,
        draw: Callable[[], float] = CHANCE.random,
    ) -> None:
        self._base = base
        self._cap = cap
        self._draw = draw
        self._lock = threading.Lock()
        self._failures: dict[K, int] = {}

    def failed(self, key: K) -> float:
        """Count one more failure of *key*; return the seconds to wait."""
        with self._lock:
            count = self._failures.get(key, 0)
            self._failures[key] = count + 1
        return self._draw() * self.ceiling(count)

    def ceiling(self, failures: int) -> float:
        """Return the most seconds to wait after so many earlier *failures*."""
        # Far beyond any cap, and 2.0 to a greater power would overflow one day.
        base = self._base() if callable(self._base) else self._base
        return min(self._cap, base * 2.0 ** min(failures, 64))

    def forget(self, key: K) -> None:
        """Start again from the shortest wait: *key* succeeded, changed or is gone."""
        with self._lock:
            self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Return how often in a row *key* has failed."""
        with self._lock:
            return self._failures.get(key, 0)
