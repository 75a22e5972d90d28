"""What the API looks at and gives orders to."""

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.history import History
from reconciler.loop.daemon import Daemon


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of the program that routes need."""

    daemon: Daemon
    history: History
    now: Callable[[], float]  # seconds since the epoch
