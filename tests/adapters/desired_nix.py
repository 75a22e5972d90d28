"""
Repositories for the machine's own Nix, and the nixpkgs to evaluate them with.

RECONCILER_TEST_NIXPKGS=/path/to/nixpkgs runs these tests against another nixpkgs than
the one in ``examples``.
"""

import os
from pathlib import Path
from textwrap import dedent

from reconciler.settings import (
    HostSettings,
    Layout,
    NixSettings,
    RepositorySettings,
    Settings,
)

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = str(ROOT / "lab/nixpkgs")
NIXPKGS = os.environ.get("RECONCILER_TEST_NIXPKGS", EXAMPLE)

OFFLINE = {"build-users-group": "", "sandbox": "false", "substitute": "false"}

PLAIN = 'boot.isContainer = true; system.stateVersion = "25.05";'
"""What any NixOS needs to evaluate."""


def settings(
    *entry: str,
    layout: Layout = Layout.AUTO,
    hosts: dict[str, HostSettings] | None = None,
    **nix: object,
) -> Settings:
    """Return settings for a repository, with fields of the section ``nix``."""
    fields = {"path": (f"nixpkgs={NIXPKGS}",), "options": OFFLINE, **nix}
    return Settings(
        repository=RepositorySettings(
            url="/srv/git/machines.git", layout=layout, entry=entry
        ),
        nix=NixSettings.model_validate(fields),
        hosts=hosts or {},
    )


def write(checkout: Path, **files: str) -> Path:
    """Write Nix files below *checkout*; a ``__`` in a name stands for a slash."""
    for name, text in files.items():
        path = checkout / f"{name.replace('__', '/')}.nix"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return checkout


def host(checkout: Path, name: str, text: str) -> Path:
    """Write ``hosts/<name>/configuration.nix`` with *text* as it is."""
    path = checkout / "hosts" / name / "configuration.nix"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
    return checkout
