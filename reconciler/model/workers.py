"""Processes that share the hosts of one repository among them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One of them, as the others know it; times are the database's."""

    id: str  # of the process: a restart is another worker
    machine: str
    process: int
    since: float
    heard: float  # when it last said that it lives
    live: bool  # that was a short while ago
    leads: bool  # it alone looks at the repository, cleans up, and tells people
    hosts: tuple[str, ...] = ()  # that it has taken

    @property
    def told(self) -> str:
        """How people find it."""
        return f"worker {self.id}, process {self.process} on {self.machine}"
