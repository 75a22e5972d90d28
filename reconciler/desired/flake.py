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
import hashlib
import json
import os
import shlex
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reconciler import process
from reconciler.desired import fingerprint
from reconciler.errors import (
    CommandError,
    CommandTimeoutError,
    FetchError,
    LayoutError,
)
from reconciler.errors import quote as quoted

STAMP = "commit.json"
"""Beside the checkout: what git tells of its commit; see `source.checkout`."""

_SHORT = 20  # bytes of a hash in the name of a store path
_BASE32 = "0123456789abcdfghijklmnpqrsvwxyz"  # of Nix's own

DEADLINE = 300.0
"""Seconds for reading a whole tree into the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A folder whose copy is in the store."""

    path: str  # the copy
    hash: str  # of its NAR, as an SRI
    stamp: str  # of the checkout that it is a copy of
    told: Mapping[str, Any] = field(default_factory=dict)  # by git, of an input

    @property
    def known(self) -> dict[str, object]:
        """What is known of it as an input of a flake."""
        told = _dated({"lastModified": 0, **self.told})
        return {"path": self.path, "narHash": self.hash, **told}

    def fetched(self, checkout: Path) -> dict[str, object]:
        """Return what ``fetchTree`` takes, with what git tells of the *checkout*."""
        told = _told_by_git(checkout)
        return {"type": "path", "path": self.path, "narHash": self.hash, **told}

    def reference(self, checkout: Path, folder: str) -> str:
        """Return the flake in *folder* of this tree, with what git tells of it."""
        fields = {"narHash": self.hash, **_told_by_git(checkout)}
        if folder != ".":
            fields["dir"] = folder
        query = "&".join(f"{k}={quote(str(v), safe='')}" for k, v in fields.items())
        return f"path:{self.path}?{query}"


def stored(lock: Path) -> dict[str, dict[str, object]]:
    """Return what is known of the tree of each node of *lock* that is here."""
    try:
        nodes = json.loads(lock.read_bytes())["nodes"].items()
        locked = {name: node["locked"] for name, node in nodes if "locked" in node}
        found = {name: _in_store(fields) for name, fields in locked.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # Nix says what is wrong with it
    return {name: fields for name, fields in found.items() if fields}


def is_followed(lock: Path) -> bool:
    """
    Say whether an input, or one of theirs, is told to follow the flake itself.

    Or is in a folder of a flake's tree: that has the same commit.
    """
    try:
        told = json.loads(lock.read_bytes())
        nodes, root = told["nodes"], told["root"]
        if any(map(_is_inside, nodes.values())):
            return True
        specs = [s for n in nodes.values() for s in n.get("inputs", {}).values()]
        return any(_node(spec, nodes, root) == root for spec in specs)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False  # Nix says what is wrong with it
    except RecursionError:
        return False  # so does it of inputs that follow each other in a circle


def _is_inside(node: Mapping[str, Any]) -> bool:
    """Say whether it is in a folder of the flake that names it, as Nix 2.26 can."""
    locked = node.get("locked", {})
    is_path = "parent" in node and locked.get("type") == "path"
    return is_path and not locked["path"].startswith("/")


def _node(spec: str | list[str], nodes: Mapping[str, Any], root: str) -> str:
    """Return the node that an input is: named, or by the way to it from the root."""
    if isinstance(spec, str):
        return spec
    node = root
    for name in spec:
        node = _node(nodes[node]["inputs"][name], nodes, root)
    return node


def _in_store(locked: Mapping[str, Any]) -> dict[str, object]:
    algorithm, _, digest = str(locked.get("narHash", "")).partition("-")
    if algorithm != "sha256":
        return {}
    path = _path_of(base64.b64decode(digest))
    if not path.exists():
        return {}
    told = ("narHash", "rev", "revCount", "lastModified")
    known = {name: locked[name] for name in told if name in locked}
    return {"path": str(path), **_dated(known)}


def _dated(known: Mapping[str, Any]) -> dict[str, object]:
    """Return what ``fetchTree`` would tell of a tree; flakes may read when it was."""
    if "lastModified" not in known:
        return dict(known)
    when = datetime.fromtimestamp(known["lastModified"], tz=UTC)
    return {**known, "lastModifiedDate": when.strftime("%Y%m%d%H%M%S")}


def _path_of(digest: bytes) -> Path:
    """
    Return where Nix puts a tree with this hash, whoever fetched it.

    "Complete Store Path Calculation" in the Nix manual, for what is content-addressed
    by its NAR and called ``source``.
    """
    store = os.environ.get("NIX_STORE_DIR", "/nix/store")
    told = f"source:sha256:{digest.hex()}:{store}:source"
    whole = hashlib.sha256(told.encode()).digest()
    short = bytearray(_SHORT)
    for place, byte in enumerate(whole):
        short[place % _SHORT] ^= byte
    number = int.from_bytes(short, "little")
    letters = (_BASE32[number >> 5 * place & 31] for place in range(_SHORT * 8 // 5))
    return Path(store, f"{''.join(reversed([*letters]))}-source")


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

    def add_input(self, name: str, folder: Path, options: tuple[str, ...]) -> Tree:
        """
        Return the folder that replaces the input *name*: of a git repository, its HEAD.

        Raises CommandError, and LayoutError for a folder that is not there.
        """
        if not folder.is_dir():
            message = f"nix.inputs.{name}: {folder} is no folder of this machine"
            raise LayoutError(message)
        stamp = fingerprint.of_place(folder)
        if not (folder / ".git").exists():
            return self.add(folder, options, stamp=stamp)
        with self._lock:
            known = self._known.get(folder)
            if known and known.stamp == stamp and Path(known.path).exists():
                return known
        with process.scratch("input") as place:
            head = place / "source"
            told = _cloned(name, folder, head)
            tree = replace(_added(head, options, stamp), told=told)
        with self._lock:
            self._known[folder] = tree
        return tree


def _cloned(name: str, folder: Path, head: Path) -> Mapping[str, Any]:
    """
    Put what is committed in *folder*, whoever owns that, into *head*.

    Return which commit that is. Raises FetchError for the input *name*.
    """
    real = folder.resolve()
    places = dict.fromkeys([folder, folder / ".git", real, real / ".git"])
    # Its serving side is the one to ask whose it is, and does not inherit `-c`.
    options = [f"-c {shlex.quote(f'safe.directory={place}')}" for place in places]
    serving = f"--upload-pack=git {' '.join(options)} upload-pack"
    argv = ("git", "clone", "-q", "--no-local", "--depth=1", "--no-tags", serving)
    show = ("show", "-s", "--no-show-signature", "--format=%H %ct", "HEAD")
    try:
        process.run((*argv, "--", str(folder), str(head)), deadline=DEADLINE)
        shown = process.run(("git", "-C", str(head), *show), deadline=DEADLINE)
    except CommandTimeoutError:
        raise
    except CommandError as error:
        told = (
            f"nix.inputs.{name}: what is committed in {folder} cannot be read:"
            f" {quoted(error.stderr)}"
        )
        raise FetchError(told, cause=error) from error
    rev, when = shown.stdout.split()
    shutil.rmtree(head / ".git")
    return {"rev": rev, "lastModified": int(when)}


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
