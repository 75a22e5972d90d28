"""
What Nix notes of trees that it fetched, for each evaluation of a flake anew.

Nix 2.20 and newer note for a path which hash it has, and read the whole tree where that
is not noted. Newer ones note the same of each folder that is copied to the store from
it: who finds such a note reads nothing, and no trace tells that it was looked at. So
each evaluation gets notes of its own, which know the tree and, of others, which paths
they are as a whole: a nixpkgs that a lock names would else be read from end to end, by
each evaluation. Such a note is of one revision or hash, and what says which is traced.
"""

import contextlib
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from reconciler import process
from reconciler.desired.flake import DEADLINE, Tree

NOTES = "/fetcher-cache-"
"""How files of notes begin, in Nix's folder ``nix`` in a cache."""

WHOLE_TREES = "reconciler-whole-trees.json"
"""The file of what is noted of other trees, in the usual cache."""

_KEPT = 8
_TREES_KEPT = 200
_READ = "SELECT key, value, timestamp FROM Cache WHERE domain = 'fetchToStore'"
_WRITE = "INSERT OR IGNORE INTO Cache VALUES ('fetchToStore', ?, ?, ?)"
_FETCH = (
    "builtins.seq (builtins.fetchTree"
    ' {{ type = "path"; path = "{path}"; narHash = "{hash}"; }}).outPath true'
)


class Notes:
    """Notes of trees by their path; may be used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Mapping[str, bytes]] = {}

    def of(self, tree: Tree, options: tuple[str, ...]) -> Mapping[str, bytes]:
        """Return what Nix notes of *tree*, by file; CommandError."""
        with self._lock:
            found = self._known.get(tree.path)
            if found is None:
                found = _noted(tree, options)
                newest = list(self._known.items())[1 - _KEPT :]
                self._known = {**dict(newest), tree.path: found}
            return found


def _noted(tree: Tree, options: tuple[str, ...]) -> Mapping[str, bytes]:
    expression = _FETCH.format(path=tree.path, hash=tree.hash)
    flakes = ("--option", "extra-experimental-features", "flakes")
    with process.scratch("notes") as place:
        argv = (*in_cache(place), "nix-instantiate", "--eval", *options, *flakes)
        process.run((*argv, "--expr", expression), deadline=DEADLINE)
        files = (place / "nix").glob(f"{NOTES[1:]}*")
        return {file.name: file.read_bytes() for file in files}


@contextlib.contextmanager
def cache(notes: Mapping[str, bytes], usual: Path) -> Iterator[Path]:
    """Give a cache for one evaluation: *notes*, and all else from the *usual* one."""
    with process.scratch("notes") as place:
        folder = place / "nix"
        folder.mkdir()
        for name, content in notes.items():
            (folder / name).write_bytes(content)
        with contextlib.suppress(OSError):
            for file in usual.iterdir():
                if not file.name.startswith((NOTES[1:], WHOLE_TREES)):
                    (folder / file.name).symlink_to(file)
        own = [folder / name for name in notes if name.endswith(".sqlite")]
        known = _recall(usual / WHOLE_TREES)
        for file in own:
            _add(file, known)
        yield place
        _bring(folder, usual)
        _remember(usual / WHOLE_TREES, known, own)


def _recall(file: Path) -> dict[str, list[object]]:
    """Return what was noted of whole trees, by key; nothing where that is not known."""
    try:
        known = json.loads(file.read_bytes())
        return {str(key): [str(value), int(at)] for key, (value, at) in known.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _add(file: Path, known: Mapping[str, list[object]]) -> None:
    """Note what is *known*, if *file* is of a Nix that notes in such a way."""
    with contextlib.suppress(sqlite3.Error), _opened(file) as notes:
        notes.executemany(_WRITE, [(key, *rest) for key, rest in known.items()])


def _remember(file: Path, known: dict[str, list[object]], own: Iterable[Path]) -> None:
    """Keep for the next one what was noted of whole trees besides what was *known*."""
    found = dict(known)
    for one in own:
        with contextlib.suppress(sqlite3.Error, ValueError), _opened(one) as notes:
            rows = notes.execute(_READ).fetchall()
            found |= {key: [value, at] for key, value, at in rows if _is_whole(key)}
    if found.keys() == known.keys():
        return
    newest = dict(list(found.items())[-_TREES_KEPT:])
    with contextlib.suppress(OSError), process.scratch("notes") as place:
        new = place / file.name
        new.write_text(json.dumps(newest), encoding="utf-8")
        shutil.move(new, file)


def _is_whole(key: str) -> bool:
    """
    Return whether a note is of a tree, and not of a folder in one.

    Nor of one that is copied under another name. Of the flake's own that is to be seen:
    it is not found by the path of the tree, as a copy of the same name is.
    """
    told = json.loads(key)
    named = (told.get("name"), told.get("method")) == ("source", "nar")
    return bool(named and told.get("path") == "/")


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(file)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def _bring(folder: Path, usual: Path) -> None:
    """Leave for the next one what is new in *folder* besides notes."""
    with contextlib.suppress(OSError):
        usual.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            is_new = not (file.is_symlink() or os.path.lexists(usual / file.name))
            if is_new and not file.name.startswith(NOTES[1:]):
                shutil.move(file, usual / file.name)


def in_cache(place: Path) -> tuple[str, ...]:
    """Return what has a command keep in *place* what Nix fetches."""
    return ("env", *(f"{name}={value}" for name, value in variables(place).items()))


def variables(place: Path) -> Mapping[str, str]:
    """Return what says that a cache is in *place*."""
    return {"XDG_CACHE_HOME": str(place), "NIX_CACHE_HOME": str(place / "nix")}


def usual() -> Path:
    """Return where our user's Nix keeps what it fetched."""
    named = os.environ.get("NIX_CACHE_HOME")
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(named) if named else Path(home, "nix")
