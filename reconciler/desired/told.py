"""What our Nix files are told of a checkout, by its layout."""

import json
from pathlib import Path

from reconciler.desired import layout
from reconciler.desired.reading import Arguments
from reconciler.model import HostName
from reconciler.settings import RepositorySettings


def arguments_for(
    checkout: Path, found: layout.Found, settings: RepositorySettings
) -> Arguments:
    """Return the arguments for *found*, a layout that our Nix files read."""
    kind, sources = _sources(found, settings)
    return {
        "checkout": str(checkout.absolute()),
        "layout": kind,
        "sources": json.dumps(sources),
    }


def _sources(found: layout.Found, settings: RepositorySettings) -> tuple[str, object]:
    """Return the name of our Nix file for a layout, and what it is told."""
    match found:
        case layout.NetworkFiles(files=files):
            physical = str(settings.physical) if settings.physical else None
            return "nixops", {
                "files": files,
                "arguments": settings.arguments,
                "physical": physical,
            }
        case layout.Hive(file=file):
            return "colmena", {"file": file}
        case layout.Attribute(file=file, path=path):
            return "attribute", {"file": file, "path": path}
        case layout.HostFolders(patterns=patterns):
            return "hosts", [_source(*pair) for pair in patterns.items()]
        case layout.Flake() | layout.Paths():
            message = "no file of ours is told of it"
            raise TypeError(message)


def _source(pattern: str, names: tuple[HostName, ...]) -> dict[str, object]:
    prefix, suffix = layout.split(pattern)
    return {"prefix": prefix, "suffix": suffix, "names": names}
