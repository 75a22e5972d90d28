"""Measure the phases of a pass."""

from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.model import Phase
from reconciler.world.world import Common


@contextmanager
def timed(world: Common, phase: Phase) -> Iterator[None]:
    """Report how long the body took, in seconds, also when it fails."""
    began = world.monotonic()
    try:
        yield
    finally:
        world.metrics.phase(phase, world.monotonic() - began)
