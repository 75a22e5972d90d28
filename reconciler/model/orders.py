"""What is remembered against changing a host."""

from dataclasses import dataclass

from reconciler.model.names import HostName, StorePath


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A person's or the program's order to leave a host alone."""

    host: HostName
    reason: str
    actor: str  # who gave it; empty: the reconciler itself
    since: float
    until: float | None = None  # None: until it is released

    def holds(self, now: float) -> bool:
        """Return whether it has not run out."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """The memory that a toplevel failed on a host."""

    host: HostName
    toplevel: StorePath
    reason: str
    since: float  # when it failed first
    attempt: str  # the last one that failed
    failures: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Whose turn it is to do what one host of the fleet does at a time."""

    host: HostName
    since: float
    boot_id: str = ""  # of the host before it began; empty: it has not yet

    @property
    def begun(self) -> bool:
        """Whether it is not over before it has come to a good end."""
        return bool(self.boot_id)
