"""What hosts, units, systems and commits are called."""

from dataclasses import dataclass
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
