"""What happened: attempts, statuses, commits, evaluations, events. One database."""

from reconciler.history.deliveries import Deliveries
from reconciler.history.lookings import LEFT
from reconciler.history.machines import Sighting
from reconciler.history.orders import RETRY, ROLLBACK
from reconciler.history.place import open_history, read_history
from reconciler.history.records import (
    UNSET_MODE_IS_AUTO,
    Declared,
    Event,
    Ordered,
    Retention,
    approval_of_adoption,
    approval_of_commit,
    approval_of_system,
)
from reconciler.history.reports import KeptReport
from reconciler.history.store import CUT_SHORT, History
from reconciler.history.workers import DEAD_AFTER

__all__ = [
    "CUT_SHORT",
    "DEAD_AFTER",
    "LEFT",
    "RETRY",
    "ROLLBACK",
    "UNSET_MODE_IS_AUTO",
    "Declared",
    "Deliveries",
    "Event",
    "History",
    "KeptReport",
    "Ordered",
    "Retention",
    "Sighting",
    "approval_of_adoption",
    "approval_of_commit",
    "approval_of_system",
    "open_history",
    "read_history",
]
