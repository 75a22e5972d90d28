"""What history keeps beyond the words of the model."""

from dataclasses import dataclass

from reconciler.model import CommitId, HostName, StorePath

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
    case, and so do events.
    """

    attempts: int = 1000  # per host
    attempt_seconds: float = 400 * DAY
    log_seconds: float = 90 * DAY
    evaluations: int = 500
    quarantines: int = 100  # per host


_KEPT = "of a host: "
KEPT_PATTERN = f"{_KEPT}%"  # as SQL's LIKE has it


def last_good_key(host: HostName) -> str:
    """Return under what the last evaluation of a host that worked is saved."""
    return f"{_KEPT}last good, {host}"


def confirmed_key(host: HostName) -> str:
    """Return under what is saved what a host was last in sync with."""
    return f"{_KEPT}confirmed, {host}"


def services_key(host: HostName) -> str:
    """Return under what is saved which services a host had when last in sync."""
    return f"{_KEPT}services, {host}"


def rebooted_key(host: HostName) -> str:
    """Return under what is saved for which system a host was last rebooted."""
    return f"{_KEPT}rebooted, {host}"


KEPT_KEYS = (last_good_key, confirmed_key, services_key, rebooted_key)
"""Under what is saved whatever goes with its host."""


def approval_of_system(host: HostName, toplevel: StorePath) -> str:
    """Return what is approved where a system may be brought to a host."""
    return f"{host}: {toplevel}"


def approval_of_commit(commit: CommitId) -> str:
    """Return what is approved where a commit may be taken over."""
    return f"commit {commit}"


def clean(text: str) -> str:
    """
    Return *text* as every database can keep it.

    Undecodable bytes (lone surrogates) and NUL become question marks.
    """
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "?")
