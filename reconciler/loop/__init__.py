"""The loop: which host is looked at when, and what one look does, in order."""

from reconciler.loop.daemon import Daemon
from reconciler.loop.evaluations import Evaluations
from reconciler.loop.gate import Gate
from reconciler.loop.guarded import OutOfSightError, RolledBackError
from reconciler.loop.host_pass import HostPass
from reconciler.loop.key_steps import KeySteps
from reconciler.loop.look import Look, Planned, look
from reconciler.loop.looks import Looked, Looks
from reconciler.loop.orders import Orders, select
from reconciler.loop.repository import Repository, Revision
from reconciler.loop.results import Again, Done, Failed, Result
from reconciler.loop.running import (
    KEY_KINDS,
    Running,
    UnknownSystemError,
    deliver,
    look_at_running,
)
from reconciler.loop.world import World

__all__ = [
    "KEY_KINDS",
    "Again",
    "Daemon",
    "Done",
    "Evaluations",
    "Failed",
    "Gate",
    "HostPass",
    "KeySteps",
    "Look",
    "Looked",
    "Looks",
    "Orders",
    "OutOfSightError",
    "Planned",
    "Repository",
    "Result",
    "Revision",
    "RolledBackError",
    "Running",
    "UnknownSystemError",
    "World",
    "deliver",
    "look",
    "look_at_running",
    "select",
]
