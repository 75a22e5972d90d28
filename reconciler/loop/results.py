"""How a pass ends. The loop alone turns these into waits and retries."""

from dataclasses import dataclass

from reconciler.errors import ReconcilerError


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do until the next look."""


@dataclass(frozen=True, slots=True)
class Again:
    """Look again after so many seconds: something is under way or was put off."""

    after: float


@dataclass(frozen=True, slots=True)
class Failed:
    """
    It did not work; the loop waits longer after each failure in a row.

    Unless *after* says in how many seconds to look again: a host that answers is looked
    at as often as ever, and only attempts on it are spaced out.
    """

    error: ReconcilerError
    after: float | None = None


Result = Done | Again | Failed


def result_name(result: Result | None) -> str:
    """Return the word that metrics have for how a pass ended."""
    match result:
        case None:
            return "error"
        case Failed():
            return "error"
        case Again():
            return "requeue"
        case _:
            return "success"
