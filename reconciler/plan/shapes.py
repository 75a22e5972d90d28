"""
The JSON that people and programs are given, on the command line and over the API.

Said once, here: `render` makes these, and the API describes itself by them. Keys stay;
new ones may come. Times are seconds since the epoch.
"""

from typing_extensions import TypedDict

Seconds = float


class CountShape(TypedDict):
    """How many keys the commit declares, and how many of them are there."""

    desired: int
    present: int


class UnitsShape(TypedDict):
    """How many units should be active, and how many are."""

    desired: int
    active: int


class DriftShape(TypedDict):
    """One thing that differs."""

    kind: str
    subject: str  # empty: the host
    desired: str
    observed: str
    effect: str
    restarts: list[str]  # units, by a key
    lasting: bool
    open: bool  # it counts against ``in_sync``


class StepShape(TypedDict):
    """One thing that would be done."""

    kind: str
    unit: str | None
    files: list[str]
    keys: list[str]


class PlanShape(TypedDict):
    """What differs on a host now, and what would be done."""

    host: str
    commit: str
    address: str | None  # null, like target and more: no plan could be made
    tags: list[str]
    target: str | None  # the desired toplevel
    derivation: str | None  # what builds it
    verdict: str | None  # converged, deploy, heal, reported, held, quarantined, blocked
    in_sync: bool  # nothing differs that should not
    reason: str  # why there are no steps though something differs, else empty
    drifts: list[DriftShape]
    only_path: bool  # the system has another path, and no unit or key differs
    warnings: list[str]  # what of a new system may keep us out
    steps: list[StepShape]  # in order
    configuration_warnings: list[str]  # as Nix tells them
    error: str  # why no plan could be made, or empty


class FileShape(TypedDict):
    """A file of /etc that differs between two systems; units are among them."""

    path: str
    kind: str  # changed, added, removed
    diff: list[str]  # lines of a unified diff
    note: str  # why there are none, or empty


class BringsShape(TypedDict):
    """What would come with another system."""

    packages: "PackagesShape | None"
    reboot: list[str] | None  # what only a reboot changes; null: not known
    files: list[FileShape] | None  # null: not asked for
    files_left_out: int
    problem: str  # why packages are not known, or empty


class TakeoverShape(TypedDict):
    """One difference that the first deployment of a host makes."""

    kind: str  # service, ssh, user, file system, boot loader, state version
    text: str


class PreviewShape(PlanShape):
    """A plan, and what would come of it; null where no other system would."""

    brings: BringsShape | None
    first_deployment: list[TakeoverShape] | None  # null: the host was in sync before


class HoldShape(TypedDict):
    """Why a host is left alone, who said so, and how long."""

    reason: str
    actor: str
    since: Seconds
    until: Seconds | None


class QuarantineShape(TypedDict):
    """What failed on a host, and is not tried again."""

    toplevel: str
    reason: str
    since: Seconds
    attempt: str
    failures: int


class BellShape(TypedDict):
    """How it comes that a host is looked at."""

    state: str  # rings; flapping: it rings without end; polled: it has no bell
    why: str  # it does not count, or empty


class ReportShape(TypedDict):
    """What is known of a host that deploys itself, and only reports."""

    at: Seconds | None  # when the last report came; null: none did
    stale: bool  # it is older than the host promised


class HostShape(TypedDict):
    """How a host stood when it was last looked at."""

    host: str
    address: str
    tags: list[str]
    commit: str
    target: str | None
    running: str | None  # a toplevel
    verdict: str | None  # null: no plan could be made
    in_sync: bool
    reachable: bool
    updated_at: Seconds | None  # null: never
    drift_since: Seconds | None
    units: UnitsShape
    keys: CountShape
    drifts: list[DriftShape]
    error: str
    hold: HoldShape | None
    quarantine: QuarantineShape | None
    report: ReportShape | None  # null: it is looked at, and need not report
    bell: BellShape | None  # null: no daemon runs that would know, or it is new


class AttemptStepShape(TypedDict):
    """One step of an attempt."""

    name: str
    began_at: Seconds
    seconds: float
    error: str


AttemptShape = TypedDict(
    "AttemptShape",
    {
        "id": str,
        "host": str,
        "commit": str,
        "why": str,  # the verdict
        "from": str | None,  # a toplevel
        "to": str,
        "began_at": Seconds,
        "ended_at": Seconds | None,
        "outcome": str | None,  # null while it runs
        "reason": str | None,  # why it was rolled back
        "message": str,
        "owner": str,  # the command that makes or made it
        "steps": list[AttemptStepShape],
    },
)
"""One carrying-out of a plan."""


class VersionsShape(TypedDict):
    """Versions before and after; null: there is none."""

    before: str | None
    after: str | None


class PackageShape(TypedDict):
    """A package of which two systems have other versions."""

    name: str
    kind: str  # upgraded, downgraded, changed, added, removed
    before: list[str]  # versions
    after: list[str]
    restarts: list[str]  # units, by this package


class PackagesShape(TypedDict):
    """What one system has that another has not."""

    before: str  # toplevels
    after: str
    packages: list[PackageShape]
    rebuilt: int  # paths that are new without another version
    closure_bytes_before: int
    closure_bytes_after: int
    new_bytes: int
    kernel: VersionsShape | None  # null: the same


class BroughtCommitShape(TypedDict):
    """One commit."""

    id: str
    subject: str
    author: str


class CommitRangeShape(TypedDict):
    """The commits between what a host had before and what it was brought to."""

    before: str | None  # null: what it ran is of no commit that is known
    count: int
    came: list[BroughtCommitShape]  # newest first; a hundred at most
    undone_count: int
    undone: list[BroughtCommitShape]  # that it had and has no more
    inputs: list[str]  # of no commit, which were other ones before
    problem: str  # why they cannot be told, or empty


class RestartShape(TypedDict):
    """A unit that was stopped and started."""

    unit: str
    down_seconds: float | None  # by systemd's own stamps


class BroughtShape(TypedDict):
    """What an attempt brought to its host."""

    pending: bool  # commits and packages are being worked out
    commits: CommitRangeShape
    restarts: list[RestartShape]
    packages: PackagesShape | None
    problem: str  # why packages cannot be told, or empty


class OneAttemptShape(AttemptShape):
    """One attempt with what it brought; null where it brought no other system."""

    brought: BroughtShape | None


class OneHostShape(HostShape):
    """A host with its last attempts, newest first."""

    attempts: list[AttemptShape]
