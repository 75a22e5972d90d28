"""What a host says that it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from reconciler.model.names import HostName, StorePath, SystemKind, UnitName


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
    type: str = ""  # Type= of a service, with drop-ins and all; empty: not told
    remain_after_exit: bool = False
    ended: str = ""  # how its main process ended last: "1 7" for exit status 7
    restart: str = ""  # Restart= of a service
    ends_well: bool = False  # each time that it ends; where the journal was asked
    triggered_by: tuple[str, ...] = ()  # timers, sockets, paths that start it
    on_bus: bool = False  # the bus starts it
    only_manual: bool = False  # RefuseManualStart=
    wanted: bool = False  # by what systemd has loaded, the boot target pulls it in
    displaced: bool = False  # what conflicts with it, and is wanted at boot, is up
    beneath: str = ""  # of a masked unit: the system's own file, resolved
    began_at: float = 0.0  # when it last began to start; 0 if never since the boot
    left_at: float = 0.0  # when it was last active; 0 if never since the boot
    active_at: float = 0.0  # when it last became so; 0 if never since the boot


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
class Managed:
    """What system-manager has on a host, which is not NixOS then."""

    running: StorePath | None = None  # None: none, or not all of one
    profile: StorePath | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What one host said of itself in one probe."""

    host: HostName
    began_at: float  # the reconciler's clock when the probe began
    running: StorePath | None  # /run/current-system; None: it has no such system
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
    secrets: Mapping[str, ObservedKey] = field(default_factory=dict)
    """By path, what links lead to; without those that could not be looked at."""
    left_behind: Mapping[str, float] = field(default_factory=dict)
    """Seconds by which links of secrets are older than the running system's own."""
    switching: bool = False  # the lock of switch-to-configuration is held
    driver: str = ""  # the reconciler that changed it last, by the note that it leaves
    specialisation: str = ""  # of the profile's system; empty: none of them runs
    brought: StorePath | None = None  # the system that was last brought by us
    brought_specialisation: str = ""  # of that one
    is_nixos: bool = True  # by its own word
    managed: Managed = field(default_factory=Managed)
    kind: SystemKind = SystemKind.NIXOS  # what makes the systems that these are

    def of(self, kind: SystemKind) -> Self:
        """Return the same, with what is said of the systems that *kind* makes."""
        if kind is SystemKind.NIXOS:
            return self
        return replace(
            self,
            kind=kind,
            running=self.managed.running,
            profile=self.managed.profile,
            # It boots what its distribution has, and no part of it is ours.
            booted=None,
            running_parts=SystemParts(),
            booted_parts=SystemParts(),
            specialisation="",
            brought_specialisation="",
        )

    @property
    def is_strange(self) -> bool:
        """Whether it is not the kind of host that such systems are for."""
        if self.kind is SystemKind.NIXOS:
            return self.running is None
        return self.is_nixos


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """How one health check ended."""

    name: str  # of the check
    passed: bool
    seconds: float  # until it passed or was given up
    problem: str = ""  # of the last try, cut; empty if it passed
