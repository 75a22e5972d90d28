"""
What the API answers beside what ``--json`` has on the command line as well.

That is in `reconciler.plan.shapes`. Keys stay; new ones may come.
"""

from pydantic import BaseModel, ConfigDict, Field

from reconciler.plan import BellShape

Seconds = float
"""Since the epoch."""


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow")


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
    doing: str = Field(description="what takes long just now, or empty")
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
    bells: dict[str, BellShape] = Field(
        description="how it comes that each host is looked at"
    )


class LogShape(_Shape):
    """What Nix, the copy and the switch said."""

    attempt: str
    lines: list[str]


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
