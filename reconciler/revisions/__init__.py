"""What: which commit counts, and what it says each host should be."""

from reconciler.revisions.evaluations import Evaluations
from reconciler.revisions.repository import Repository, Revision
from reconciler.revisions.wanted import UnknownSystemError

__all__ = ["Evaluations", "Repository", "Revision", "UnknownSystemError"]
