"""What events tell of the repository, which has no status of its own."""

from reconciler.history.store import History

AWAY, UNREADABLE, WELL = "repository-away", "commit-unreadable", "repository-well"
WITHHELD = "commit-withheld"  # it waits for a person
"""The kinds of event in history that say how the repository is."""


def last_problem(history: History) -> str:
    """Return what was wrong with the repository when it was last looked at, if any."""
    kinds = {AWAY, UNREADABLE, WITHHELD, WELL}
    found = (event.text for event in history.events() if event.kind in kinds)
    return next(found, "")
