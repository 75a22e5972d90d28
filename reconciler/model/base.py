"""What a system stands on: users, file systems, boot loader; of a commit and a host."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A line of fstab(5)."""

    place: str  # ``none`` for swap
    device: str
    type: str
    options: str  # their hash only, since they may hold a password


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a commit says a host stands on, and what else changes it."""

    state_version: str = ""
    loader: str = ""  # the program that sets the boot loader, by its name
    mutable_users: bool = True
    users: Mapping[str, bool] = field(default_factory=dict)  # whether with a password
    mounts: tuple[Mount, ...] | None = None  # None: it has no fstab that can be told
    updaters: tuple[str, ...] = ()  # what switches the host without us


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of a host, as far as somebody gets in as him."""

    name: str
    password: bool = False
    keys: tuple[str, ...] = ()  # type and fingerprint, of what his system declares
    own_keys: tuple[str, ...] = ()  # of what is in his home, which no switch changes
    declared: bool = False  # by the system that it runs, or one before


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a host stands on, whoever set it up."""

    accounts: tuple[Account, ...] = ()  # of people who get in somehow
    mounts: tuple[Mount, ...] | None = None  # None: it has no /etc/fstab
    loader: str = ""  # as in Base; empty: its system does not tell
    host_keys: tuple[str, ...] = ()  # paths, of sshd's own settings
    state_version: str = ""  # empty: nothing there tells


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """One difference that the first deployment of a host makes, for people."""

    kind: str  # service, ssh, user, file system, boot loader, state version
    text: str
