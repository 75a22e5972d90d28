"""How Nix is to read one checkout."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.desired.nix import Mode
from reconciler.model import HostName

Arguments = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A checkout, what our Nix files are told of it, and how Nix is started."""

    checkout: Path
    arguments: Arguments = field(default_factory=dict)
    hosts: tuple[HostName, ...] | None = None  # known without asking Nix
    host: HostName | None = None  # which one is asked for; None: which there are
    copy: str = ""  # which Nix reads instead: in the store, or repository.mount_at
    fetched: Mapping[str, bytes] | None = None  # see `reconciler.desired.fetched`
    lock: Path | None = None  # of a flake
    mode: Mode = field(default_factory=Mode)

    @property
    def is_network(self) -> bool:
        """Whether it is a network or a hive, called by us."""
        return self.arguments.get("layout") in {"nixops", "colmena"}

    @property
    def roots(self) -> tuple[Path, ...]:
        """Where files of the repository may seem to lie."""
        return (self.checkout, *((Path(self.copy),) if self.copy else ()))
