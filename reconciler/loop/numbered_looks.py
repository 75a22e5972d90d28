"""
Numbered looks at the repository, so that "now" can be waited for without a race.

Whoever asks gets the number of a look that begins after the question. A look that was
under way at that moment may have read the repository too early, and does not count.
"""

import secrets
import threading
from concurrent.futures import Future
from dataclasses import dataclass

from reconciler.model import CommitId


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A look at the repository that has ended."""

    commit: CommitId | None  # the one that hosts are brought to since then
    error: str = ""  # why it is not the newest one


class Looks:
    """Counts the looks of one process; any thread may ask."""

    def __init__(self) -> None:
        self._name = secrets.token_hex(4)  # of this process: numbers begin anew
        self._lock = threading.Lock()
        self._begun = 0
        self._ended = 0
        self._last = Looked(commit=None)
        self._waiting: dict[Future[Looked], int] = {}

    def ask(self) -> str:
        """Return a token for the next look that begins; have it begin after this."""
        with self._lock:
            return f"{self._name}-{self._begun + 1}"

    def begin(self) -> None:
        """Note that a look begins."""
        with self._lock:
            self._begun += 1

    def end(self, looked: Looked) -> None:
        """Note how the look that was begun ended, and tell those who wait for it."""
        with self._lock:
            self._ended, self._last = self._begun, looked
            due = [future for future, n in self._waiting.items() if n <= self._ended]
            for future in due:
                del self._waiting[future]
        for future in due:
            # Who gave up meanwhile has cancelled it.
            if future.set_running_or_notify_cancel():
                future.set_result(looked)

    def outcome(self, token: str) -> Future[Looked]:
        """
        Return what will have ended: the look of *token*, or a later one.

        A token of a process before this one is met by our first look. Raises
        ValueError for what is no token.
        """
        name, _, digits = token.rpartition("-")
        if not name or not (digits.isascii() and digits.isdigit() and len(digits) < 16):  # noqa: PLR2004 -- more than anybody will count
            message = f"{token!r} is no token of a look"
            raise ValueError(message)
        number = int(digits) if name == self._name else 1
        future: Future[Looked] = Future()
        with self._lock:
            if number > self._ended:
                self._waiting[future] = number
                return future
            last = self._last
        future.set_result(last)
        return future

    def forget(self, future: Future[Looked]) -> None:
        """Wait no more."""
        with self._lock:
            self._waiting.pop(future, None)
        future.cancel()
