"""What one attempt brought to its host, told once it is over."""

from dataclasses import dataclass

from reconciler.model.names import CommitId, UnitName
from reconciler.model.packages import SystemDiff


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A unit that was stopped and started while an attempt ran."""

    unit: UnitName
    seconds: float | None  # from leaving the active state to it; None: not told


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtCommit:
    """A commit that came to a host, or was taken from it."""

    id: CommitId
    subject: str
    author: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRange:
    """The commits between what a host had before and what it was brought to."""

    before: CommitId | None = None  # None: what it ran is of no commit that we know
    commits: tuple[BroughtCommit, ...] = ()  # newest first; the last of `count`
    count: int = 0
    undone: tuple[BroughtCommit, ...] = ()  # that it had and has no more
    undone_count: int = 0
    problem: str = ""  # why they cannot be told
    inputs: tuple[str, ...] = ()  # of no commit, which were other ones before


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """
    What came with an attempt.

    Known at its end: `restarts`, and from where it came. The rest is worked out after
    that, so that nothing waits for it; until then it is *pending*.
    """

    range: CommitRange = CommitRange()
    restarts: tuple[Restart, ...] = ()
    packages: SystemDiff | None = None
    problem: str = ""  # why the packages cannot be told
    pending: bool = False
