"""What happened: attempts, statuses, commits, evaluations, events. One database."""

from reconciler.history.orders import RETRY
from reconciler.history.records import Event, Ordered, Retention
from reconciler.history.repository import last_problem
from reconciler.history.store import History

__all__ = ["RETRY", "Event", "History", "Ordered", "Retention", "last_problem"]
