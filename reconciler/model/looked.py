"""What an evaluation looked at, and what became of a host's last one."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from reconciler.model.names import CommitId, HostName


class Evaluated(Enum):
    """How a host's desired state came about."""

    EVALUATED = "evaluated"
    UNCHANGED = "unchanged"  # nothing that its last evaluation looked at differs
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAt:
    """
    An evaluation that need not be done again while all of this is as it was.

    Its answer is kept under a key of its own. What it looked at is in groups, each kept
    once for all evaluations, by its digest.
    """

    subject: str  # what was evaluated
    base: Mapping[str, str]  # what it depends on besides files
    answer: str
    groups: tuple[str, ...]
    puzzle: str = ""  # why nobody may rely on this; empty if they may
    checkout: str = ""  # the checkout, where the answer names it


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationNote:
    """How the last commit was read for a host, and why so."""

    host: HostName
    commit: CommitId
    result: Evaluated
    reasons: tuple[str, ...]
    at: float
    seconds: float | None = None  # that the last real evaluation took
    memory: int | None = None  # bytes


def subject_of(host: HostName) -> str:
    """Return what the evaluation of a host is called."""
    return f"host {host}"
