"""``reconciler version``."""

import platform
import shutil
from importlib import metadata

import typer

from reconciler import process
from reconciler.cli.common import AsJson, out, print_json
from reconciler.errors import ReconcilerError


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(version)


def version(*, as_json: AsJson = False) -> None:
    """
    Print the versions of reconciler, Python and Nix.

    Tell all three when you report a bug.
    """
    versions = {
        "reconciler": metadata.version("reconciler"),
        "python": platform.python_version(),
        "nix": _nix(),
    }
    if as_json:
        print_json(versions)
        return
    for name, text in versions.items():
        out.print(f"{name} {text}")


def _nix() -> str:
    if shutil.which("nix-instantiate") is None:
        return "not found"
    try:
        told = process.run(["nix-instantiate", "--version"], deadline=10)
    except ReconcilerError as error:
        return f"unusable: {error}"
    return told.stdout.strip().rpartition(" ")[2]
