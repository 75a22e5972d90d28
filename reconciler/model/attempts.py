"""What was done to a host, how that ended, and how the host is now."""

import enum
from dataclasses import dataclass, field

from reconciler.model.bells import Bell
from reconciler.model.names import CommitId, HostName, StorePath
from reconciler.model.orders import Hold, Quarantine
from reconciler.model.plan import Drift, Verdict


class Outcome(enum.Enum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    INTERRUPTED = "interrupted"


class Reason(enum.Enum):
    """Why a host does not run the system that it should: it went back, mostly."""

    UNHEALTHY = "unhealthy"  # the health gate said so
    SWITCH_FAILED = "switch-failed"  # switch-to-configuration did
    UNCONFIRMED = "unconfirmed"  # nobody confirmed in time: it was out of reach
    REBOOTED = "rebooted"  # it was booted before anybody confirmed
    GUARDIAN = "guardian"  # somebody or something ended the guardian
    STUCK = "rollback-failed"  # the system from before does not run again either
    REBOOT_FIRST = "reboot-first"  # it refused to be switched to; nothing was touched
    ASKED = "asked"  # a person, or a newer commit that arrived meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What must be known to follow an attempt to its end after a restart."""

    boot_id: str  # of the host when the attempt began
    baseline: str  # what its judge must know: what was healthy before, or was ordered


class Phase(enum.Enum):
    """The parts of a pass whose durations are measured."""

    EVALUATE = "evaluate"
    PROBE = "probe"
    BUILD = "build"
    COPY = "copy"
    KEYS = "keys"
    ACTIVATE = "activate"
    START = "start"
    VERIFY = "verify"
    SETTLE = "settle"
    CONFIRM = "confirm"  # and set what the host boots
    ROLL_BACK = "roll-back"
    REBOOT = "reboot"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step as it was carried out."""

    name: str  # "activate", "start withinbot.service"
    began_at: float
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One carrying-out of a plan on one host, as history keeps it."""

    id: str
    host: HostName
    commit: CommitId
    verdict: Verdict
    source: StorePath | None  # what ran before
    target: StorePath
    began_at: float
    ended_at: float | None = None
    outcome: Outcome | None = None
    message: str = ""
    owner: str = field(default="", compare=False)  # the command that makes or made it
    reason: Reason | None = None  # of a rollback, or a refusal
    steps: tuple[StepRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """What the last pass found on one host; what status, show and metrics tell."""

    host: HostName
    commit: CommitId
    updated_at: float
    verdict: Verdict | None = None  # None: no plan could be made
    reachable: bool = False
    target: StorePath | None = None
    running: StorePath | None = None
    drifts: tuple[Drift, ...] = ()
    drift_since: float | None = None  # when the present run of drift was first seen
    units_desired: int = 0  # units that should be active
    units_active: int = 0  # of those, the ones that are
    keys_desired: int = 0
    keys_present: int = 0  # of those, the ones whose file stands, right or not
    address: str = ""
    tags: tuple[str, ...] = field(default=())
    error: str = ""  # why there is no plan, or why the last attempt failed
    hold: Hold | None = None
    quarantine: Quarantine | None = None  # of the target
    bell: Bell | None = None  # None: only a daemon that runs knows
    report_at: float | None = None  # when it last reported, if it deploys itself

    @property
    def is_away(self) -> bool:
        """Whether it should answer and does not."""
        expected = self.verdict not in (Verdict.NO_ADDRESS, Verdict.SILENT)
        return expected and not self.reachable

    @property
    def is_silent(self) -> bool:
        """Whether it deploys itself, and nothing that still counts is known of it."""
        return self.verdict is Verdict.SILENT

    @property
    def deploys_itself(self) -> bool:
        """Whether all that is known of it is what it reports."""
        return self.is_silent or self.report_at is not None

    @property
    def in_sync(self) -> bool:
        """Whether nothing differs that should not."""
        return self.verdict is Verdict.CONVERGED and not self.error
