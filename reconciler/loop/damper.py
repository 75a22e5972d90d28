"""How often a host that rings is looked at: soon, and never for ever at full speed."""

from collections import deque

FEWEST, MOST = 6, 40
"""Looks that a host may bring about by ringing within one interval."""
SECONDS_EACH = 7.5
"""Seconds of an interval for each of them."""
FIRST_GAP = 0.4
"""Seconds between the first two looks of a burst; each gap is twice the one before."""
QUIET = 1.5
"""Seconds without a ring after which the next one is the first of another burst."""


def allowed(interval: float) -> int:
    """Return the looks that a host may bring about within *interval* seconds."""
    return round(min(MOST, max(FEWEST, interval / SECONDS_EACH)))


def longest_gap(interval: float) -> float:
    """
    Return the seconds at most between two looks of a burst that goes on and on.

    So few that what rings without a pause is found out, too.
    """
    return interval / (allowed(interval) + 2)


class Damper:
    """
    The rings of one host; all times are readings of one clock.

    It flaps while it rang for as many looks as it may within *interval* seconds. Those
    are counted as if they had been made, so that it is over once the host rings less.
    """

    def __init__(self) -> None:
        self._looks: deque[float] = deque(maxlen=MOST)
        self._gap = 0.0
        self._rang_at = float("-inf")

    def rang(self, now: float, interval: float) -> float | None:
        """Note a ring; return in how many seconds to look, None if not for it."""
        if now - self._rang_at > QUIET:
            self._gap = 0.0
        self._rang_at = now
        flapping = self.flaps(now, interval)
        last = self._looks[-1] if self._looks else float("-inf")
        due = last if last > now else max(now, last + self._gap)
        if due > last:
            self._looks.append(due)
            self._gap = min(max(FIRST_GAP, 2 * self._gap), longest_gap(interval))
        return None if flapping else due - now

    def flaps(self, now: float, interval: float) -> bool:
        """Return whether the host rings without end."""
        most = allowed(interval)
        return len(self._looks) >= most and now - self._looks[-most] < interval
