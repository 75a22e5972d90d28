"""Passes on that somebody rang: at once, but not again and again."""

import asyncio
from collections.abc import Callable

QUIET = 1.0
"""Seconds after a ring in which others are gathered into one."""


class Doorbell:
    """
    The first ring is passed on at once, those that follow soon as one at the end.

    So a burst, however long, costs a look a second, and none of it begins before what
    it is about has happened. To be rung in an event loop.
    """

    def __init__(self, passed_on: Callable[[], None], *, quiet: float = QUIET) -> None:
        """Take what hears the ring; it should return at once."""
        self._passed_on = passed_on
        self._quiet = quiet
        self._waiting: asyncio.TimerHandle | None = None
        self._rung_again = False

    def ring(self) -> bool:
        """Ring; return whether it was passed on at once."""
        if self._waiting is not None:
            self._rung_again = True
            return False
        loop = asyncio.get_running_loop()
        self._waiting = loop.call_later(self._quiet, self._end_quiet)
        self._passed_on()
        return True

    def _end_quiet(self) -> None:
        self._waiting = None
        if self._rung_again:
            self._rung_again = False
            self.ring()
