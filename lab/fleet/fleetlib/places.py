"""Where things are kept: the shared cache, the registry, a fleet's own folder."""

import os
from dataclasses import dataclass
from pathlib import Path

REGISTRY = Path("/run/reconciler-fleet")
LAB = Path(__file__).resolve().parents[2]
NIXPKGS = LAB / "nixpkgs"
FIRST_GENERATION = LAB / "fleet" / "first-generation.nix"


def cache_dir() -> Path:
    """Return the folder of images and baked generations, outside any checkout."""
    if own := os.environ.get("RECONCILER_FLEET_CACHE"):
        return Path(own).absolute()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).absolute() / "reconciler-fleet"
    return Path("/var/cache/reconciler-fleet")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDir:
    """The files of one fleet, all below ``path``."""

    path: Path

    @property
    def state(self) -> Path:
        """What the tool itself knows of the fleet."""
        return self.path / "fleet.json"

    @property
    def settings(self) -> Path:
        """The ``ssh:`` and ``hosts:`` sections for the reconciler's settings."""
        return self.path / "fleet.yaml"

    @property
    def ssh_config(self) -> Path:
        """For ``ssh -F``."""
        return self.path / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The hosts' public keys."""
        return self.path / "known_hosts"

    @property
    def identity(self) -> Path:
        """The private key that the hosts accept."""
        return self.path / "id_ed25519"

    @property
    def hosts(self) -> Path:
        """One folder per host."""
        return self.path / "hosts"

    def host(self, name: str) -> Path:
        """Return the folder of the host *name*: its disk and its console."""
        return self.hosts / name

    def console(self, name: str) -> Path:
        """Return the file with what the host *name* printed while it booted."""
        return self.host(name) / "console.log"
