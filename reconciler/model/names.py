"""What hosts, units, systems and commits are called."""

import enum
import re
from dataclasses import dataclass
from typing import NewType

HostName = NewType("HostName", str)
UnitName = NewType("UnitName", str)  # with its suffix: withinbot.service
StorePath = NewType("StorePath", str)  # /nix/store/<hash>-<name>
CommitId = NewType("CommitId", str)  # full hexadecimal object name

# systemd.unit(5), "Unit names"; systemctl would mend anything else.
_UNIT_NAME = re.compile(
    r"[A-Za-z0-9:_.\\@-]+\."
    r"(service|socket|device|mount|automount|swap|target|path|timer|slice|scope)"
)


def is_unit_name(name: str) -> bool:
    """Whether systemd could know a unit or a template by that name."""
    return len(name) < 256 and _UNIT_NAME.fullmatch(name) is not None  # noqa: PLR2004


class SystemKind(enum.Enum):
    """What makes a host's system, and activates it."""

    NIXOS = "nixos"
    SYSTEM_MANAGER = "system-manager"  # on another distribution

    @property
    def told(self) -> str:
        """Its name, for people."""
        return "NixOS" if self is SystemKind.NIXOS else "system-manager"


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
