"""The adapters, the settings in force and the clock, made once and handed on."""

from reconciler.world.driver import driver_of
from reconciler.world.live import Live, policy_of
from reconciler.world.timing import timed
from reconciler.world.world import Tell, World, tell_nobody

__all__ = ["Live", "Tell", "World", "driver_of", "policy_of", "tell_nobody", "timed"]
