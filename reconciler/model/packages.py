"""What one system brings that another does not, in the words of packages."""

import enum
from dataclasses import dataclass, field

from reconciler.model.names import StorePath, UnitName
from reconciler.model.observed import SystemParts


class PackageKind(enum.Enum):
    """How a package differs between two systems."""

    UPGRADED = "upgraded"
    DOWNGRADED = "downgraded"
    CHANGED = "changed"  # other versions, of which none is newer than all others
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """One package of which two closures have other versions."""

    name: str
    kind: PackageKind
    before: tuple[str, ...] = ()  # versions, sorted; a package may have several
    after: tuple[str, ...] = ()
    restarts: tuple[UnitName, ...] = ()  # units that it is why they change


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemDiff:
    """What comes with another system."""

    before: StorePath
    after: StorePath
    packages: tuple[PackageChange, ...]  # sorted by name
    rebuilt: int = 0  # paths that are new without another version
    size_before: int = 0  # bytes of the closures, as NARs
    size_after: int = 0
    added: int = 0  # bytes of what is in the new closure only
    kernel: tuple[str, str] | None = None  # versions, where they differ
    parts: SystemParts = field(default_factory=SystemParts)  # of the new system
