"""
What the API answers, described for those who read ``/openapi.json``.

The values are those of ``--json`` on the command line; a test holds the two together.
Keys stay; new ones may come.
"""

from pydantic import BaseModel, ConfigDict, Field

Seconds = float
"""Since the epoch."""


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)


class CommitShape(_Shape):
    """A commit of the watched branch."""

    id: str
    branch: str
    subject: str
    author: str
    committed_at: Seconds


class StatusShape(_Shape):
    """The whole, in figures."""

    healthy: bool
    problem: str = Field(description="why the daemon is not healthy, or empty")
    repository: str = Field(description="what is wrong with the repository, or empty")
    commit: CommitShape | None = Field(description="what hosts are brought to")
    withheld: CommitShape | None = Field(
        description="the newest commit, if it does not count until it is approved"
    )
    hosts: int
    in_sync: int
    unreachable: int
    held: int
    quarantined: int


class CountShape(_Shape):
    """How many there should be, and how many there are."""

    desired: int


class UnitsShape(CountShape):
    """Units that should be active."""

    active: int


class KeysShape(CountShape):
    """Keys that the commit declares."""

    present: int


class DriftShape(_Shape):
    """One thing that differs."""

    kind: str
    subject: str
    desired: str
    observed: str
    effect: str
    restarts: list[str]
    lasting: bool
    open: bool


class HoldShape(_Shape):
    """Why a host is left alone, who said so, and how long."""

    reason: str
    actor: str
    since: Seconds
    until: Seconds | None


class QuarantineShape(_Shape):
    """What failed on a host, and is not tried again."""

    toplevel: str
    reason: str
    since: Seconds
    attempt: str
    failures: int


class HostShape(_Shape):
    """How a host stood when it was last looked at."""

    host: str
    address: str
    tags: list[str]
    commit: str
    target: str | None
    running: str | None
    verdict: str | None
    in_sync: bool
    reachable: bool
    updated_at: Seconds
    drift_since: Seconds | None
    units: UnitsShape
    keys: KeysShape
    drifts: list[DriftShape]
    error: str
    hold: HoldShape | None
    quarantine: QuarantineShape | None


class AttemptStepShape(_Shape):
    """One step of an attempt."""

    name: str
    began_at: Seconds
    seconds: float
    error: str


class AttemptShape(_Shape):
    """One carrying-out of a plan."""

    id: str
    host: str
    commit: str
    why: str
    from_: str | None = Field(alias="from")
    to: str
    began_at: Seconds
    ended_at: Seconds | None
    outcome: str | None
    reason: str | None
    message: str
    steps: list[AttemptStepShape]


class OneHostShape(HostShape):
    """A host with its last attempts, newest first."""

    attempts: list[AttemptShape]


class LogShape(_Shape):
    """What Nix, the copy and the switch said."""

    attempt: str
    lines: list[str]


class StepShape(_Shape):
    """One thing that would be done."""

    kind: str
    unit: str | None
    files: list[str]
    keys: list[str]


class PlanShape(_Shape):
    """What differs on a host now, and what would be done."""

    host: str
    commit: str
    address: str
    tags: list[str]
    target: str
    derivation: str
    verdict: str
    in_sync: bool
    reason: str
    drifts: list[DriftShape]
    steps: list[StepShape]


class EventShape(_Shape):
    """One line of the audit log."""

    at: Seconds
    kind: str
    host: str | None
    actor: str = Field(description="who did it; empty: the reconciler itself")
    text: str


class SyncShape(_Shape):
    """A look at the repository that is to come."""

    token: str
    wait: str = Field(description="where to wait for it")


class LookedShape(_Shape):
    """Whether that look, or a later one, has ended, and with which commit."""

    done: bool
    commit: str | None = Field(description="what hosts are brought to since then")
    error: str = Field(description="why that is not the newest commit, or empty")


class OrderedShape(_Shape):
    """The hosts that an order changed anything for."""

    hosts: list[str]


class ApprovedShape(_Shape):
    """What may come from now on: a system to its host, or else a commit."""

    host: str | None
    toplevel: str | None
    commit: str | None


class ProblemShape(_Shape):
    """Why not."""

    detail: str


class HostArrivalShape(_Shape):
    """How far a commit has come on one host."""

    host: str
    standing: str = Field(description="arrived, waiting, asked or failed")
    why: str


class ArrivalShape(_Shape):
    """How far a commit has come."""

    commit: str
    standing: str = Field(
        description="waiting while any host is under way; else the worst of the hosts'"
    )
    why: str = Field(description="why the commit does not count, or empty")
    hosts: list[HostArrivalShape]
