"""The record of one attempt while it runs: its steps and its log."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import structlog

from reconciler.errors import ReconcilerError, StateError
from reconciler.model import Attempt, Phase, StepRecord
from reconciler.world import Common, timed

log = structlog.get_logger(__name__)


TOGETHER = 1.0
"""Seconds of output that are written at once."""


class _Lines:
    """
    Lines on their way to history, each of which would else be a transaction.

    While a step runs they are written once a second, so that somebody who watches
    misses nothing; a crash costs what came since. Any thread may call any method.
    """

    def __init__(self, write: Callable[[Sequence[str]], None]) -> None:
        self._write = write
        self._lock = threading.RLock()  # over what follows, and so over the order
        self._lines: list[str] = []
        self._steps = 0
        self._timer: threading.Timer | None = None

    def add(self, line: str) -> None:
        """Write *line* soon; at once if no step runs."""
        with self._lock:
            self._lines.append(line)
            if not self._steps:
                self._flush()
            elif self._timer is None:
                self._timer = threading.Timer(TOGETHER, self._due)
                self._timer.daemon = True
                self._timer.start()

    @contextlib.contextmanager
    def collected(self) -> Iterator[None]:
        """Collect what comes meanwhile. Raises StateError at the end."""
        with self._lock:
            self._steps += 1
        try:
            yield
        finally:
            with self._lock:
                self._steps -= 1
                self._flush()

    def _due(self) -> None:
        with self._lock:
            self._timer = None
            # It is tried again with the next line, and at the end.
            with contextlib.suppress(StateError):
                self._flush()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            self._write(self._lines)
            self._lines = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Writes to history, metrics, the program's log, and to a person who watches."""

    world: Common
    attempt: Attempt
    _lines: _Lines = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lines", _Lines(self._write))

    def line(self, text: str) -> None:
        """Add a line to the attempt's own log; see `_Lines`."""
        self._lines.add(text)

    def _write(self, lines: Sequence[str]) -> None:
        self.world.history.log(self.attempt.id, lines, now=self.world.now())

    def step(self, name: str, phase: Phase, act: Callable[[], None]) -> None:
        """Do *act* and record it as a step, also when it fails."""
        world, began = self.world, self.world.now()
        since = world.monotonic()
        host, attempt = self.attempt.host, self.attempt.id
        world.tell(host, name)
        log.info("step begins", host=host, attempt=attempt, step=name)
        problem = ""
        try:
            with self._lines.collected(), timed(world, phase):
                act()
        except ReconcilerError as error:
            problem = str(error)
            raise
        finally:
            seconds = world.monotonic() - since
            record = StepRecord(
                name=name, began_at=began, seconds=seconds, error=problem
            )
            world.history.step(attempt, record)
            log.info(
                "step",
                host=host,
                attempt=attempt,
                step=name,
                seconds=round(seconds, 3),
                error=problem or None,
            )
