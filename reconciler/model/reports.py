"""What a host that deploys itself tells a central reconciler."""

from dataclasses import dataclass

from reconciler.model.attempts import Attempt, HostStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a host says that it stands."""

    number: int  # greater than that of each report before
    at: float  # when it was made, by the host's clock
    every: float  # seconds within which the next one is to come
    status: HostStatus  # as the host itself shows it
    attempt: Attempt | None = None  # its last one


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A report, and when it came by our clock."""

    report: Report
    at: float
