"""
Declared health checks, tried until they pass or their time is over.

Those of the host's side all go in one round trip (`on_host`), those of ours run in
threads beside it (`from_here`).
"""

import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from reconciler.model import CheckResult, CheckSide, Desired, HealthCheck
from reconciler.observed import from_here, on_host
from reconciler.process import Cage
from reconciler.remote import HostReader

MARGIN = 3.0
"""Seconds of a deadline that are left for the way to the host and back."""

Ended = tuple[int, CheckResult | BaseException]


def checks_seconds(desired: Desired) -> float:
    """Return how long the checks of *desired* take at most, in seconds."""
    if not desired.checks:
        return 0.0
    return max(check.within for check in desired.checks) + MARGIN


def run_checks(
    reader: HostReader,
    desired: Desired,
    *,
    deadline: float,
    folder: Path | None = None,
    cage: Cage | None = None,
) -> tuple[CheckResult, ...]:
    """
    Try the health checks of *desired*; return how each ended, in their order.

    All side by side, for at most *deadline* seconds. Commands of our side run in
    *folder*, the commit's checkout, and in *cage*. A check that fails is a result and
    no error; raised are StoppingError, FactError, and what the reader raises.
    """
    ends = time.monotonic() + deadline
    most = max(deadline - 1.0, deadline / 2)  # ends by itself, so that it can say more
    numbered = tuple(enumerate(desired.checks))
    there = [(n, c) for n, c in numbered if c.side is CheckSide.HOST]
    here = [(n, c) for n, c in numbered if c.side is CheckSide.RECONCILER]
    over = threading.Event()
    try:
        crew = _Crew(desired.target.address, folder=folder, over=over, cage=cage)
        for number, check in here:
            crew.start(number, check, seconds=min(check.within, most))
        results = on_host.run(reader, there, deadline=deadline) if there else {}
        results |= crew.results(here, ends=ends)
    finally:
        over.set()
    return tuple(results[number] for number, _ in numbered)


class _Crew:
    """The threads that try the checks of our side."""

    def __init__(
        self,
        address: str,
        *,
        folder: Path | None,
        over: threading.Event,
        cage: Cage | None,
    ) -> None:
        self._address = address
        self._folder = folder
        self._cage = cage
        self._over = over
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()

    def start(self, number: int, check: HealthCheck, *, seconds: float) -> None:
        """Begin to try *check*, for at most *seconds*."""

        def work() -> None:
            try:
                result = from_here.run(
                    check,
                    self._address,
                    seconds=seconds,
                    folder=self._folder,
                    over=self._over,
                    cage=self._cage,
                )
            except BaseException as error:  # noqa: BLE001 -- raised by who waits for it
                self._ended.put((number, error))
            else:
                self._ended.put((number, result))

        # A daemon: a resolver that hangs must not keep the program from ending.
        threading.Thread(target=work, name=f"check-{number}", daemon=True).start()

    def results(
        self, numbered: list[tuple[int, HealthCheck]], *, ends: float
    ) -> dict[int, CheckResult]:
        """Wait for the checks *numbered*; what has not ended by *ends* has failed."""
        found: dict[int, CheckResult] = {}
        for number, ended in self._until(ends, count=len(numbered)):
            if isinstance(ended, BaseException):
                raise ended
            found[number] = ended
        for number, check in numbered:
            found.setdefault(number, _late(check))
        return found

    def _until(self, ends: float, *, count: int) -> Iterator[Ended]:
        for _ in range(count):
            try:
                left = max(0.0, ends - time.monotonic())
                yield self._ended.get(timeout=left)
            except queue.Empty:
                return


def _late(check: HealthCheck) -> CheckResult:
    problem = "did not end in time"
    return CheckResult(
        name=check.name, passed=False, seconds=check.within, problem=problem
    )
