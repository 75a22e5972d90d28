"""
When: the queue of names, and one pass over one host.

The daemon is imported by its module: no command but `run` needs it.
"""

from reconciler.loop.host_gate import Gate
from reconciler.loop.host_pass import HostPass
from reconciler.loop.keys_of_running import (
    KEY_KINDS,
    Running,
    deliver,
    look_at_running,
)
from reconciler.loop.numbered_looks import Looked, Looks
from reconciler.loop.orders import Orders
from reconciler.loop.results import Again, Done, Failed, Result
from reconciler.loop.rollback import Rollback

__all__ = [
    "KEY_KINDS",
    "Again",
    "Done",
    "Failed",
    "Gate",
    "HostPass",
    "Looked",
    "Looks",
    "Orders",
    "Result",
    "Rollback",
    "Running",
    "deliver",
    "look_at_running",
]
