"""Saying something once in a while, however often it happens."""

from collections.abc import Callable, Hashable

SECONDS = 60.0
"""Between two times that the same is said."""


class Sparse:
    """
    Tells whether something is to be said now.

    For what strangers can cause: they must not be able to fill a log.
    """

    def __init__(self, clock: Callable[[], float], *, seconds: float = SECONDS) -> None:
        """Take a *clock*, in seconds; what is said comes from a small, closed set."""
        self._clock = clock
        self._seconds = seconds
        self._said: dict[Hashable, float] = {}

    def due(self, what: Hashable) -> bool:
        """Return whether *what* was not said for some time, and note that it is now."""
        now = self._clock()
        last = self._said.get(what)
        if last is not None and abs(now - last) < self._seconds:
            return False
        self._said[what] = now
        return True
