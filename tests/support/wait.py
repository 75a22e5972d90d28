"""Wait for something to become true, instead of sleeping; and never for too short."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
PAUSE = 0.02
LONGEST_PAUSE = 0.25
MOST = 180.0  # seconds that a busy machine may add
OUR_OWN = 3.0  # programs for each core in a test run


def patience(seconds: float) -> float:
    """
    Return how long something may take here that usually takes *seconds* at most.

    A test that fails because the machine is busy tells nothing: where ten programs
    want each core, everything may take ten times as long.
    """
    return min(seconds * max(1.0, busy()), seconds + MOST)


def busy() -> float:
    """Return how many programs want each core."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def stretched(seconds: float) -> float:
    """
    Return a deadline for the program, which good releases keep and bad ones wait for.

    Longer only where the machine is busier than the workers of a test run make it: it
    costs the time that it gives.
    """
    return seconds * max(1.0, busy() / OUR_OWN)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Check that the body takes no longer, as far as the machine allows."""
    began = time.monotonic()
    yield
    took, limit = time.monotonic() - began, patience(seconds)
    assert took < limit, f"it took {took:.2f} s, more than {limit:.2f} s"


def wait_until(
    condition: Callable[[], T], deadline_s: float, what: str, *, pause_s: float = PAUSE
) -> T:
    """
    Return what *condition* returns as soon as that is true in the sense of ``if``.

    Fails the test after *deadline_s* seconds, or more of them on a busy machine, naming
    *what* was waited for and what *condition* returned last. An exception of
    *condition* is not caught. The pause between two looks is *pause_s* at first, and
    grows with what was waited, so that looking does not slow down what is waited for.
    """
    began = time.monotonic()
    while not (result := condition()):
        waited = time.monotonic() - began
        if waited > patience(deadline_s):
            msg = f"waited {waited:.0f} s in vain for {what}; last seen: {result!r}"
            raise AssertionError(msg)
        time.sleep(max(pause_s, min(LONGEST_PAUSE, waited / 20)))
    return result


def let_pass(seconds: float) -> None:
    """Let time go by, where how long something lasts is what is tried, as of faults."""
    time.sleep(seconds)
