"""The adapters, the settings in force and the clock, made once and handed on."""

from reconciler.world.driver import driver_of
from reconciler.world.live import Live, policy_of, settle_mode, told_unset, unset_mode
from reconciler.world.timing import timed
from reconciler.world.ways import last_way, note_way, way_of
from reconciler.world.world import (
    CommitWorld,
    Common,
    HostWorld,
    Tell,
    World,
    tell_nobody,
)

__all__ = [
    "CommitWorld",
    "Common",
    "HostWorld",
    "Live",
    "Tell",
    "World",
    "driver_of",
    "last_way",
    "note_way",
    "policy_of",
    "settle_mode",
    "tell_nobody",
    "timed",
    "told_unset",
    "unset_mode",
    "way_of",
]
