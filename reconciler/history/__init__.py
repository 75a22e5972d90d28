"""What happened: attempts, statuses, commits, evaluations, events. One database."""

from reconciler.history.records import Event, Retention
from reconciler.history.repository import last_problem
from reconciler.history.store import History

__all__ = ["Event", "History", "Retention", "last_problem"]
