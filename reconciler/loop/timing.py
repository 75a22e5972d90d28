"""Measure the phases of a pass."""

from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.loop.world import World
from reconciler.model import Phase


@contextmanager
def timed(world: World, phase: Phase) -> Iterator[None]:
    """Report how long the body took, in seconds, also when it fails."""
    began = world.now()
    try:
        yield
    finally:
        # A clock that was set back must not make a negative duration.
        world.metrics.phase(phase, max(0.0, world.now() - began))
