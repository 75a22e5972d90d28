"""The machine's own Nix, with the example's stand-in for Nixpkgs."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]

_ENVIRONMENT = os.environ | {
    "NIX_PATH": f"nixpkgs={PROJECT / 'lab' / 'nixpkgs'}",
    "NIX_CONFIG": "build-users-group =\nsandbox = false\nsubstitute = false",
}


@cache
def evaluate(expression: str) -> dict[str, Any]:
    """Return the set that is *expression*; its derivations can be built after."""
    argv = ["nix-instantiate", "--eval", "--strict", "--json", "--read-write-mode"]
    value: dict[str, Any] = json.loads(_run([*argv, "--expr", expression]))
    return value


def build(*derivations: str) -> list[Path]:
    """Return what the *derivations*, paths of ``.drv`` files, build."""
    return [Path(path) for path in _run(["nix-store", "-r", *derivations]).split()]


def _run(argv: list[str]) -> str:
    done = subprocess.run(
        argv,
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
