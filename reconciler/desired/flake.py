"""
A checkout as a flake: its tree in the store, and the reference that names it.

Nix is given the tree as a path with what git would tell of it: commit, date, number of
commits. So the flake sees the same ``self.rev`` and ``self.lastModified``, and the same
store path, as with ``git+file:``; but no clone, no reference for each commit (which Nix
before 2.20 needs) and no network for submodules is needed. Path flakes may say these
(flake references in the Nix manual, "Path-like"); with a NAR hash the reference is
locked, so that pure evaluation takes it.
"""

import base64
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from reconciler import process
from reconciler.errors import LayoutError

STAMP = "commit.json"
"""Beside the checkout: what git tells of its commit; see `source.checkout`."""

DEADLINE = 300.0
"""Seconds for reading a whole tree into the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A folder whose copy is in the store."""

    path: str  # the copy
    hash: str  # of its NAR, as an SRI
    stamp: str  # of the checkout that it is a copy of

    def reference(self, checkout: Path, folder: str) -> str:
        """Return the flake in *folder* of this tree, with what git tells of it."""
        fields = {"narHash": self.hash, **_told_by_git(checkout)}
        if folder != ".":
            fields["dir"] = folder
        query = "&".join(f"{k}={quote(str(v), safe='')}" for k, v in fields.items())
        return f"path:{self.path}?{query}"


class Trees:
    """Trees by their folder; may be used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Path, Tree] = {}

    def add(self, folder: Path, options: tuple[str, ...], *, stamp: str = "") -> Tree:
        """
        Return *folder* in the store, copied there if it is not any more.

        A tree is read again when *stamp* differs. Raises CommandError, and LayoutError
        for what the store does not take.
        """
        with self._lock:
            known = self._known.get(folder)
            if known and known.stamp == stamp and Path(known.path).exists():
                return known
            tree = _added(folder, options, stamp)
            self._known[folder] = tree
            return tree


def _added(folder: Path, options: tuple[str, ...], stamp: str) -> Tree:
    argv = ("nix-store", "--add", str(folder), *options)
    path = process.run(argv, deadline=DEADLINE).stdout.strip()
    hashed = process.run(
        ("nix-hash", "--type", "sha256", str(folder)), deadline=DEADLINE
    )
    digest = base64.b64encode(bytes.fromhex(hashed.stdout.strip())).decode("ascii")
    return Tree(path=path, hash=f"sha256-{digest}", stamp=stamp)


def _told_by_git(checkout: Path) -> dict[str, object]:
    """Return what the flake may know of its commit; nothing where there is none."""
    file = checkout.parent / STAMP
    try:
        fields: dict[str, object] = json.loads(file.read_text(encoding="ascii"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        message = f"{file} cannot be read: {error}"
        raise LayoutError(message) from error
    return fields
