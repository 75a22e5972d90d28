"""What differs, what is to be done about it, and what may be."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.model.desired import Desired, Heal
from reconciler.model.names import HostName, StorePath, UnitName
from reconciler.model.orders import Turn


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
    SECRET_MISSING = "secret-missing"  # noqa: S105
    SECRET_PERMISSIONS = "secret-permissions"  # noqa: S105
    SECRET_STALE = "secret-stale"  # noqa: S105
    REBOOT_NEEDED = "reboot-needed"
    UNREACHABLE = "unreachable"
    WRONG_MACHINE = "wrong-machine"


OF_SECRETS = frozenset(
    {DriftKind.SECRET_MISSING, DriftKind.SECRET_PERMISSIONS, DriftKind.SECRET_STALE}
)
"""What no step of ours closes: the host decrypts these itself."""


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
    BOOT = "boot into it"  # in the place of ACTIVATE
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
    JUDGE = "judge"  # alone: see that what was rebooted is well, and give the turn on


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
    UNADOPTED = "unadopted"  # differs, and was never in sync, nor given to us
    NO_ADDRESS = "no-address"  # nobody says where it is, so nobody looks at it
    SILENT = "silent"  # it deploys itself, and has not reported when it should have


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The drifts of one host and the steps that close them."""

    host: HostName
    target: StorePath
    verdict: Verdict
    drifts: tuple[Drift, ...] = ()
    steps: tuple[Step, ...] = ()
    reason: str = ""  # why it is not touched, where that is so; for people
    waits_for: HostName | None = None  # whose turn it is, while this one waits for its
    only_path: bool = False  # a commit changes the system's path, and no unit or key
    warnings: tuple[str, ...] = ()  # what of the new system may keep us out, for people
    specialisation: str = ""  # of the target, that the host should run; empty: none


class Mode(enum.Enum):
    """Whether the reconciler may change hosts."""

    AUTO = "auto"
    REPORT = "report"


class Adopt(enum.Enum):
    """What becomes of a host that was never in sync under this reconciler."""

    ASK = "ask"  # nothing, until a person gives it to us
    ALWAYS = "always"  # whatever its commit says


class Reboot(enum.Enum):
    """Whether the reconciler may reboot hosts that need it."""

    NEVER = "never"
    ALLOWED = "allowed"


class Specialisation(enum.Enum):
    """What becomes of a host that runs a specialisation of the system it should run."""

    KEEP = "keep"
    BASE = "base"  # it is switched to the system itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the settings allow."""

    mode: Mode = Mode.AUTO
    adopt: Adopt = Adopt.ASK
    heal: bool = True
    removal_limit: float = 0.5  # share of what is there that may go unasked; 1: all
    reboot: Reboot = Reboot.NEVER
    specialisation: Specialisation = Specialisation.KEEP
    units: Mapping[UnitName, Heal] = field(default_factory=dict)  # on every host


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What history remembers of one host and the plan may use."""

    applied: StorePath | None = None  # toplevel of the last attempt, if it succeeded
    machine_id: str | None = None  # of the machine that we first met under the name
    hold: str | None = None  # reason of a hold, if there is one
    quarantine: str | None = None  # why the desired toplevel failed here, if it did
    delivered: frozenset[str] = frozenset()  # paths of keys that we put on the host
    services: frozenset[UnitName] = frozenset()  # what it had when last in sync
    former: Desired | None = None  # what it was then, if another system is to come
    approved: bool = False  # a person let the desired toplevel pass the guards
    adopted: bool = True  # it was in sync before, or a person gave it to us
    rebooted: bool = False  # it was rebooted for the desired toplevel already
    refused: bool = False  # the desired toplevel asked for a reboot just now
    unbuildable: str = ""  # why the system cannot be built where it is to be
    turn: Turn | None = None  # whose turn it is to be rebooted, if it is anybody's
    driver: str = ""  # who we are, as we sign; empty: nobody who signs
    shared: frozenset[HostName] = frozenset()  # other names that lead to this machine
    alike: frozenset[HostName] = frozenset()  # names that may, until they are looked at
    host_keys: frozenset[str] = frozenset()  # as age and sops call them, if they matter
    under_way: bool = False  # an attempt is: no order and no guard stops it half-way


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """What the desired keys hash to; in memory only, neither stored nor shown."""

    known: Mapping[str, str] = field(default_factory=dict, repr=False)  # by key name
    problems: Mapping[str, str] = field(default_factory=dict)  # why one is not known
