"""
The words of the domain: immutable values, no behaviour that touches the world.

Times are seconds since the epoch as floats, sizes are bytes, durations are seconds.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NewType

HostName = NewType("HostName", str)
UnitName = NewType("UnitName", str)  # with its suffix: withinbot.service
StorePath = NewType("StorePath", str)  # /nix/store/<hash>-<name>
CommitId = NewType("CommitId", str)  # full hexadecimal object name


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit of the watched branch."""

    id: CommitId
    tree: str  # object name of its tree, the key of the evaluation cache
    branch: str
    subject: str
    author: str
    committed_at: float

    @property
    def short(self) -> str:
        """The first characters, as people quote a commit."""
        return self.id[:8]


# --- desired ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a host is reached over SSH, and as whom."""

    address: str  # name or IP address
    port: int = 22
    user: str = "root"
    escalation: tuple[str, ...] = ("sudo", "-H", "--")  # unless the user is root


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredUnit:
    """
    One systemd unit that a commit declares for a host.

    The store path is the identity: equal path, equal unit. ``path`` is the file
    itself, ``/nix/store/<hash>-unit-<name>/<name>``, or None for a masked unit.
    """

    name: UnitName
    path: StorePath | None
    wanted: bool  # the boot targets pull it in, so it should be active
    type: str = ""  # Type= of a service, else empty
    remain_after_exit: bool = False
    triggered: bool = False  # a timer, socket, path or the bus starts it
    restart_if_changed: bool = True
    reload_if_changed: bool = False
    stop_if_changed: bool = True
    only_manual: bool = False  # RefuseManualStart/Stop or X-OnlyManualStart


class KeyOrigin(enum.Enum):
    """Where the content of a key comes from; the content itself is never a value."""

    TEXT = "text"  # from the evaluation, asked for apart
    FILE = "file"  # keyFile, on the reconciler; *.age is decrypted
    COMMAND = "command"  # keyCommand, run on the reconciler


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredKey:
    """One secret file that a commit declares (``deployment.keys.<name>``)."""

    name: str  # of the attribute; its unit is <name>-key.service
    path: str  # of the file on the host, absolute
    origin: KeyOrigin
    file: str = ""  # for FILE: as declared, absolute or relative to the repository
    command: tuple[str, ...] = ()  # for COMMAND
    user: str = "root"
    group: str = "root"
    mode: int = 0o600
    before_activation: bool = True  # uploadAt
    restart_units: tuple[UnitName, ...] = ()  # restarted when the content changed


class CheckKind(enum.Enum):
    """How a health check finds out."""

    HTTP = "http"
    TCP = "tcp"
    COMMAND = "command"


class CheckSide(enum.Enum):
    """Where a health check is tried."""

    HOST = "host"
    RECONCILER = "reconciler"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """One thing that must work on a host before it may keep a new system."""

    kind: CheckKind
    side: CheckSide
    name: str  # for people; never empty
    period: float = 2.0  # from one try to the next
    timeout: float = 5.0  # of one try; 0: as long as there is
    within: float = 30.0  # it must have passed once by then
    host: str = ""  # for HTTP and TCP; empty: the host itself
    port: int = 0
    scheme: str = "http"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    insecure: bool = False  # any certificate will do
    status: tuple[int, ...] = ()  # the good answers; empty: 200 to 399
    command: tuple[str, ...] = ()  # for COMMAND


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What one commit says one host should be."""

    host: HostName
    toplevel: StorePath  # out path; need not be built yet
    derivation: StorePath  # .drv that builds it
    units: Mapping[UnitName, DesiredUnit]
    target: Target
    keys: Mapping[str, DesiredKey] = field(default_factory=dict)  # by name
    tags: tuple[str, ...] = ()
    fast_connection: bool = False  # deployment.hasFastConnection: do not substitute
    checks: tuple[HealthCheck, ...] = ()  # deployment.healthChecks


# --- observed --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedUnit:
    """One unit as systemd reports it (``systemctl show``; names as there)."""

    name: UnitName
    load_state: str  # loaded, masked, not-found, bad-setting, error, …
    active_state: str  # active, reloading, inactive, failed, activating, …
    sub_state: str = ""
    result: str = ""  # success, exit-code, timeout, start-limit-hit, …
    fragment: str = ""  # FragmentPath with every symlink resolved
    fragment_path: str = ""  # FragmentPath as reported
    drop_ins: tuple[str, ...] = ()  # DropInPaths as reported
    drop_in_files: tuple[str, ...] = ()  # the same with every symlink resolved
    condition_met: bool = True  # ConditionResult and AssertResult
    condition_at: float = 0.0  # when it was last checked; 0 if never
    restarts: int = 0  # NRestarts
    finished: bool = False  # ended by itself without error, and may stay ended
    needs_reload: bool = False  # NeedDaemonReload
    invocation: str = ""
    queued: bool = False  # Job: systemd is about to start, stop or restart it


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedKey:
    """What stands on a host at the path of a key."""

    path: str
    kind: str  # "regular", "missing", or what `stat` calls anything else
    digest: str = field(default="", repr=False)  # SHA-256, hexadecimal; never shown
    user: str = ""  # a number where the host has no name for it
    group: str = ""
    mode: int = 0
    uid: int = -1  # -1 while there is no file
    gid: int = -1
    folder: str = ""  # where its folder really is, if symlinks lead elsewhere
    in_memory: bool = True  # its file system is tmpfs or ramfs


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemParts:
    """The parts of a toplevel that only a reboot can change; resolved paths."""

    kernel: str = ""
    initrd: str = ""
    modules: str = ""
    systemd: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What one host said of itself in one probe."""

    host: HostName
    began_at: float  # the reconciler's clock when the probe began
    running: StorePath | None  # /run/current-system; None: not a NixOS
    booted: StorePath | None  # /run/booted-system
    profile: StorePath | None  # /nix/var/nix/profiles/system
    boot_id: str
    machine_id: str
    running_parts: SystemParts
    booted_parts: SystemParts
    units: Mapping[UnitName, ObservedUnit]  # those asked for, and all loaded services
    store_free: int  # bytes
    clock: float  # the host's own
    keys: Mapping[str, ObservedKey] = field(default_factory=dict)  # by path
    switching: bool = False  # the lock of switch-to-configuration is held


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """How one health check ended."""

    name: str  # of the check
    passed: bool
    seconds: float  # until it passed or was given up
    problem: str = ""  # of the last try, cut; empty if it passed


# --- orders ----------------------------------------------------------------------


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


# --- plan ------------------------------------------------------------------------


class DriftKind(enum.Enum):
    """Every way in which a host can differ from its commit; a closed set."""

    SYSTEM = "system"
    BOOT = "boot"
    UNIT_CHANGED = "unit-changed"
    UNIT_MISSING = "unit-missing"
    UNIT_STOPPED = "unit-stopped"
    UNIT_FAILED = "unit-failed"
    UNIT_OVERRIDDEN = "unit-overridden"
    UNIT_EXTRA = "unit-extra"
    KEY_MISSING = "key-missing"
    KEY_CHANGED = "key-changed"
    KEY_PERMISSIONS = "key-permissions"
    KEY_EXTRA = "key-extra"
    REBOOT_NEEDED = "reboot-needed"
    UNREACHABLE = "unreachable"
    WRONG_MACHINE = "wrong-machine"


class Effect(enum.Enum):
    """What closing a drift does to a unit, by switch-to-configuration, or to a key."""

    NONE = "none"
    START = "start"
    RESTART = "restart"
    RELOAD = "reload"
    STOP = "stop"
    SKIP = "not restarted"  # restartIfChanged = false and its like
    DELIVER = "deliver"  # a key's content
    PERMIT = "permit"  # a key's owner, group and mode, without touching its content
    REMOVE = "remove"  # a key


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One difference between desired and observed."""

    kind: DriftKind
    subject: str = ""  # the unit or key; empty where the host itself is meant
    desired: str = ""  # for people: what should be
    observed: str = ""  # for people: what is
    effect: Effect = Effect.NONE
    lasting: bool = False  # legitimate and only shown, never alarmed or closed
    restarts: tuple[UnitName, ...] = ()  # by a key: units that must read it again

    @property
    def is_open(self) -> bool:
        """
        Whether a host with this drift is not as its commit says.

        A lasting difference is legitimate, and a reboot that is due takes nothing from
        what runs; both are shown, and the host is in sync all the same.
        """
        return not self.lasting and self.kind is not DriftKind.REBOOT_NEEDED


class StepKind(enum.Enum):
    """One action of a plan, in the order in which the members are listed."""

    BUILD = "build"
    COPY = "copy"
    DELIVER_KEYS = "deliver keys"  # before activation
    ACTIVATE = "activate"  # switch-to-configuration test
    DELIVER_LATE_KEYS = "deliver late keys"  # after activation; owners set again
    REMOVE_KEYS = "remove keys"
    UNMASK = "unmask"
    REVERT = "revert"  # remove files that override a unit, if any; daemon-reload
    STOP = "stop"
    RELOAD = "reload"
    RESTART = "restart"
    START = "start"
    SET_BOOT = "set-boot"  # only a system that works may become the boot default
    REBOOT = "reboot"  # alone, when all else is closed


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action of a plan; ``unit`` for those that touch one unit."""

    kind: StepKind
    unit: UnitName | None = None
    files: tuple[str, ...] = ()  # UNMASK, REVERT, REMOVE_KEYS: what to remove
    keys: tuple[str, ...] = ()  # DELIVER_KEYS, DELIVER_LATE_KEYS: their names


class Verdict(enum.Enum):
    """Why a plan has the steps it has; status, metrics and pages show it."""

    CONVERGED = "converged"  # nothing to do
    DEPLOY = "deploy"  # a commit changes the host
    HEAL = "heal"  # the host changed by itself or by hand
    REPORTED = "reported"  # differs, and the policy says to look only
    HELD = "held"  # differs, and somebody said to leave it alone
    QUARANTINED = "quarantined"  # differs, and this system failed here before
    BLOCKED = "blocked"  # differs, and a guard forbids to touch it


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The drifts of one host and the steps that close them."""

    host: HostName
    target: StorePath
    verdict: Verdict
    drifts: tuple[Drift, ...] = ()
    steps: tuple[Step, ...] = ()
    reason: str = ""  # for REPORTED, HELD, QUARANTINED and BLOCKED: why, for people


class Mode(enum.Enum):
    """Whether the reconciler may change hosts."""

    AUTO = "auto"
    REPORT = "report"


class Reboot(enum.Enum):
    """Whether the reconciler may reboot hosts that need it."""

    NEVER = "never"
    ALLOWED = "allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the settings allow."""

    mode: Mode = Mode.AUTO
    heal: bool = True
    removal_limit: float = 0.5  # share of what is there that may go unasked; 1: all
    reboot: Reboot = Reboot.NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What history remembers of one host and the plan may use."""

    applied: StorePath | None = None  # toplevel of the last attempt, if it succeeded
    machine_id: str | None = None  # of the machine that we first met under the name
    hold: str | None = None  # reason of a hold, if there is one
    quarantine: str | None = None  # why the desired toplevel failed here, if it did
    delivered: frozenset[str] = frozenset()  # paths of keys that we put on the host
    services: frozenset[UnitName] = frozenset()  # what it had when last in sync
    approved: bool = False  # a person let the desired toplevel pass the guards
    rebooted: bool = False  # it was rebooted for the desired toplevel already
    under_way: bool = False  # an attempt is: no order and no guard stops it half-way


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """What the desired keys hash to; in memory only, neither stored nor shown."""

    known: Mapping[str, str] = field(default_factory=dict, repr=False)  # by key name
    problems: Mapping[str, str] = field(default_factory=dict)  # why one is not known


# --- apply -----------------------------------------------------------------------


class Outcome(enum.Enum):
    """How an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    INTERRUPTED = "interrupted"


class Reason(enum.Enum):
    """Why a host went back to the system that it ran before."""

    UNHEALTHY = "unhealthy"  # the health gate said so
    SWITCH_FAILED = "switch-failed"  # switch-to-configuration did
    UNCONFIRMED = "unconfirmed"  # nobody confirmed in time: it was out of reach
    REBOOTED = "rebooted"  # it was booted before anybody confirmed
    GUARDIAN = "guardian"  # somebody or something ended the guardian
    ASKED = "asked"  # a person, or a newer commit that arrived meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What must be known to follow an attempt to its end after a restart."""

    boot_id: str  # of the host when the attempt began
    baseline: str  # what was healthy before, as the health gate writes it

    @property
    def ordered(self) -> bool:
        """Whether a person ordered it: a rollback, which no health gate judges."""
        return not self.baseline


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
    reason: Reason | None = None  # of a rollback
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

    @property
    def in_sync(self) -> bool:
        """Whether nothing differs that should not."""
        return self.verdict is Verdict.CONVERGED and not self.error
