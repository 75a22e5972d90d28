"""What happened: attempts, statuses, commits, evaluations, events. One database."""

from reconciler.history.deliveries import Deliveries
from reconciler.history.orders import RETRY, ROLLBACK
from reconciler.history.records import (
    Event,
    Ordered,
    Retention,
    approval_of_commit,
    approval_of_system,
    confirmed_key,
    last_good_key,
    rebooted_key,
    services_key,
)
from reconciler.history.repository import last_problem
from reconciler.history.store import CUT_SHORT, History

__all__ = [
    "CUT_SHORT",
    "RETRY",
    "ROLLBACK",
    "Deliveries",
    "Event",
    "History",
    "Ordered",
    "Retention",
    "approval_of_commit",
    "approval_of_system",
    "confirmed_key",
    "last_good_key",
    "last_problem",
    "rebooted_key",
    "services_key",
]
