"""What history keeps beyond the words of the model."""

from dataclasses import dataclass

from reconciler.model import CommitId, HostName, StorePath
from reconciler.printable import printable

DAY = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the audit log."""

    at: float
    kind: str  # commit-unreadable, trust, hold, …
    host: HostName | None
    actor: str  # who did it, as far as we know; empty: the reconciler itself
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """That something was ordered; history itself says what holds now."""

    serial: int  # grows from order to order
    kind: str  # of its event
    host: HostName | None  # None: it is about the repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """
    How much `History.prune` keeps.

    The last attempt of a host, its last successful one and unfinished ones stay in any
    case, and so do events, and which hosts were given to us.
    """

    attempts: int = 1000  # per host
    attempt_seconds: float = 400 * DAY
    log_seconds: float = 90 * DAY
    evaluations: int = 500
    quarantines: int = 100  # per host


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a commit says of a host, as `reconciler.desired` writes it."""

    commit: CommitId
    desired: str


def approval_of_system(host: HostName, toplevel: StorePath) -> str:
    """Return what is approved where a system may be brought to a host."""
    return f"{host}: {toplevel}"


OF_ADOPTION = ": adoption"
"""How what is approved ends where it is an adoption."""


def approval_of_adoption(host: HostName) -> str:
    """Return what is approved where a host is given to us, whatever it runs."""
    return f"{host}{OF_ADOPTION}"


UNSET_MODE_IS_AUTO = "policy.mode: auto"
"""
What is approved where settings that say nothing of the mode mean what they once meant.

Only a migration does, of a database with which hosts were deployed before; and only
until a daemon has been told a mode.
"""


def approval_of_commit(commit: CommitId) -> str:
    """Return what is approved where a commit may be taken over."""
    return f"commit {commit}"


def clean(text: str) -> str:
    """
    Return *text* as every database can keep it, and every terminal can be shown it.

    Much of it comes from hosts, builds and commits; see `printable`.
    """
    return printable(text)


def storable(path: str) -> str:
    """
    Return a name that must stay as it is, as every database can keep it.

    Undecodable bytes (lone surrogates) and NUL become question marks.
    """
    return path.encode("utf-8", "replace").decode("utf-8").replace("\0", "?")
