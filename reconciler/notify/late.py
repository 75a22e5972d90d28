"""What became of deliveries, for as long as the database does not take it."""

from collections import Counter
from collections.abc import Callable, Collection, Hashable

import structlog

from reconciler.errors import StateError

log = structlog.get_logger(__name__)

FOR_GOOD = float("inf")
"""Until when not to send what was accepted."""


class Late:
    """
    Remembers in memory what cannot be written: the disk is full, or read-only.

    What was accepted is not sent again meanwhile, and what failed waits as long as it
    would. All of it is written, in order, as soon as that works.
    """

    def __init__(self) -> None:
        self._acts: list[Callable[[], None]] = []
        self._until: dict[Hashable, float] = {}
        self._tries: Counter[Hashable] = Counter()

    def write(
        self, keys: Collection[Hashable], act: Callable[[], None], *, until: float
    ) -> None:
        """Let *act* write that *keys* are not to be sent before *until*."""
        try:
            if not self._acts:  # else it would overtake what came before
                act()
                return
        except StateError as error:
            log.warning("what was sent cannot be recorded", error=str(error))
        self._acts.append(act)
        self._until.update(dict.fromkeys(keys, until))
        self._tries.update(keys)

    def settle(self) -> None:
        """Write what could not be written, as far as that works now."""
        while self._acts:
            try:
                self._acts[0]()
            except StateError:
                return
            self._acts.pop(0)
        self._until.clear()
        self._tries.clear()

    def holds(self, key: Hashable, now: float) -> bool:
        """Say whether *key* is not to be sent yet, as nobody has written down."""
        return self._until.get(key, 0.0) > now

    def tries(self, key: Hashable) -> int:
        """Return how often *key* was sent beside what is written."""
        return self._tries[key]
