"""The record of one attempt while it runs: its steps and its log."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from reconciler.errors import ReconcilerError
from reconciler.model import Attempt, Phase, StepRecord
from reconciler.world import World, timed

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Writes to history, metrics, the program's log, and to a person who watches."""

    world: World
    attempt: Attempt

    def line(self, text: str) -> None:
        """Add a line to the attempt's own log."""
        self.world.history.log(self.attempt.id, [text], now=self.world.now())

    def step(self, name: str, phase: Phase, act: Callable[[], None]) -> None:
        """Do *act* and record it as a step, also when it fails."""
        world, began = self.world, self.world.now()
        since = world.monotonic()
        host, attempt = self.attempt.host, self.attempt.id
        world.tell(host, name)
        log.info("step begins", host=host, attempt=attempt, step=name)
        problem = ""
        try:
            with timed(world, phase):
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
