"""What a commit says a host should be."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from reconciler.model.base import Base
from reconciler.model.names import HostName, StorePath, SystemKind, UnitName


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a host is reached, and as whom: over SSH, or where we run ourselves."""

    address: str  # name or IP address; empty: nobody says where the host is
    port: int = 22
    user: str = "root"
    escalation: tuple[str, ...] = ("sudo", "-H", "--")  # unless the user is root
    identity: str = ""  # path of the key for this host alone, by the settings
    local: bool = False  # it is the machine that we run on; the rest is for people

    @classmethod
    def here(cls, escalation: tuple[str, ...]) -> Self:
        """Return the machine that we run on; checks from here ask it there."""
        return cls(address="localhost", escalation=escalation, local=True)

    @property
    def login(self) -> str:
        """User, address and port, for people."""
        if self.local:
            return "this machine"
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.user}@{address}:{self.port}"


class Heal(enum.Enum):
    """What is done about a unit that changed by itself or by hand."""

    ALL = "all"  # started if it was stopped, restarted if it failed
    RESTART_ONLY = "restart-only"  # only restarted if it failed
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRule:
    """How one unit is treated (``deployment.units.<name>``)."""

    heal: Heal = Heal.ALL
    may_fail: bool = False  # may be down, for all that a deployment cares


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
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
    heal: Heal = Heal.ALL
    may_fail: bool = False


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
class SshServer:
    """What a commit says of the SSH server of a host, and of who gets in."""

    enabled: bool
    ports: tuple[int, ...] = ()
    open_ports: tuple[int, ...] | None = None  # by the firewall; None: not to be told
    root_login: str = ""  # PermitRootLogin
    host_keys: tuple[str, ...] = ()  # type and path of each
    logins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The keys that let each declared user in, by type and fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredSecret:
    """One secret that the host decrypts itself, by sops-nix or agenix."""

    name: str
    tool: str
    file: str  # that holds it, encrypted; in the repository where it lies there
    path: str  # on the host
    user: str  # a name or a number
    group: str
    mode: int
    readers: tuple[str, ...] = ()  # types of the host's own SSH keys that decrypt it
    recipients: tuple[str, ...] = ()  # of the file; empty: nothing can be compared
    unjudged: str = ""  # why nothing can be, for people
    renewed: str = ""  # the link that each activation sets anew; empty: none does


FETCHED_INPUT = "fetched"
"""How the name of an input begins that was fetched, and that no hash pins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What one commit says one host should be."""

    host: HostName
    toplevel: StorePath  # out path; need not be built yet
    derivation: StorePath  # .drv that builds it
    units: Mapping[UnitName, DesiredUnit]
    target: Target
    address_from: str = ""  # who says where it is: deploy.nodes, its name, settings, …
    keys: Mapping[str, DesiredKey] = field(default_factory=dict)  # by name
    tags: tuple[str, ...] = ()
    fast_connection: bool = False  # deployment.hasFastConnection: do not substitute
    platform: str = ""  # that it is built on: x86_64-linux; empty: not known
    programs: StorePath | None = None  # .drv of what its checks run where we are
    build_on_host: bool = False  # deployment.buildOnTarget and its like: not here
    checks: tuple[HealthCheck, ...] = ()  # deployment.healthChecks
    rules: Mapping[UnitName, UnitRule] = field(default_factory=dict)  # also of others
    warnings: tuple[str, ...] = ()  # of the configuration, for people
    secrets: tuple[DesiredSecret, ...] = ()
    ssh: SshServer | None = None  # None: kept by a version that did not ask
    base: Base | None = None  # None: kept by a version that did not ask
    outside: Mapping[str, str] = field(default_factory=dict)  # inputs of no commit
    specialisation: str = ""  # deployment.specialisation; empty: it wants none
    specialisations: tuple[str, ...] = ()  # the names of those that the system has
    kind: SystemKind = SystemKind.NIXOS

    @property
    def fetches(self) -> bool:
        """Whether something was fetched for it that no hash pins."""
        return any(name.startswith(FETCHED_INPUT) for name in self.outside)
