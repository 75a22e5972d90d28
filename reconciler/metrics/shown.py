"""What there is to show of one host."""

import collections
from dataclasses import dataclass, field

from reconciler.model import BellState, CommitId, DriftKind, HostName, HostStatus


@dataclass(slots=True, kw_only=True)
class Shown:
    """The last status of a host, what it does not say, and what was counted."""

    status: HostStatus
    evaluated: CommitId | None = None  # the commit that it was aimed at
    succeeded_at: float = 0.0  # when a pass last found it in sync
    drifts: "collections.Counter[DriftKind]" = field(
        default_factory=collections.Counter
    )  # those that do not last
    bell: BellState | None = None
    numbers: dict[tuple[str, str], float] = field(default_factory=dict)
    """By family and the label behind ``host``, if there is one; else it is 0."""

    @classmethod
    def unseen(cls, host: HostName) -> "Shown":
        """Return what is shown of a host of which nothing was seen yet."""
        return cls(status=HostStatus(host=host, commit=CommitId(""), updated_at=0.0))

    def show(self, status: HostStatus, evaluated: CommitId | None) -> None:
        """Show what the last pass found."""
        self.status, self.evaluated = status, evaluated
        if status.in_sync:
            self.succeeded_at = status.updated_at
        self.drifts = collections.Counter(
            drift.kind for drift in status.drifts if not drift.lasting
        )

    def count(self, family: str, label: str = "", by: float = 1) -> None:
        """Count *by* so many."""
        at = (family, label)
        self.numbers[at] = self.numbers.get(at, 0) + by

    def set(self, family: str, value: float) -> None:
        """Show *value*."""
        self.numbers[family, ""] = value
