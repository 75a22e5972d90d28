"""Wait for something to become true, instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PAUSE = 0.02


def wait_until(
    condition: Callable[[], T], deadline_s: float, what: str, *, pause_s: float = PAUSE
) -> T:
    """
    Return what *condition* returns as soon as that is true in the sense of ``if``.

    Fails the test after *deadline_s* seconds, naming *what* was waited for and what
    *condition* returned last. An exception of *condition* is not caught. A longer
    *pause_s* between two looks is for a *condition* that costs much.
    """
    end = time.monotonic() + deadline_s
    while not (result := condition()):
        if time.monotonic() > end:
            msg = f"waited {deadline_s:g} s in vain for {what}; last seen: {result!r}"
            raise AssertionError(msg)
        time.sleep(pause_s)
    return result


def let_pass(seconds: float) -> None:
    """Let time go by, where how long something lasts is what is tried, as of faults."""
    time.sleep(seconds)
