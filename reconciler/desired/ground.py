"""
What an evaluation stands on: files of a commit, and files outside of it.

Of what is in the commit git's own object ids tell, read from a list beside the
checkout; of what is outside a digest of each file. What lies in Nix's store never
changes.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from reconciler.desired.trace import LINK, LIST, LOOK, READ, unquoted

TREE = "tree"
"""Beside the checkout: what git has in its commit; see `source.checkout`."""

OVERLAY = "overlay"
"""Beside the checkout: what lies over it; see `secrets.overlay`."""

MISSING = "missing"

STORE = os.environ.get("NIX_STORE_DIR", "/nix/store")

STORE_PATH = re.compile(rf"{re.escape(STORE)}/[0-9a-z]{{32}}-[0-9A-Za-z+._?=-]+")
"""What is directly in the store, by the names that Nix allows there."""

_STEPS_LIMIT = 4096  # more are a link to itself
_FOLDER, _LINKED, _MODULE = "040000", "120000", "160000"
_KINDS = {_FOLDER: "d", _LINKED: "l", _MODULE: "d"}
_SETTLED_SECONDS = 2.0  # how coarse the times of a file system may be
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """What git has at a path."""

    mode: str
    id: str


class Commit:
    """What is in a checkout, by the list of its commit; nothing of it is read."""

    def __init__(self, root: Path, entries: Mapping[str, Entry], told: str) -> None:
        """Take also what is *told* of how the files were written."""
        self._root = root
        self._entries = entries
        self._children: dict[str, list[str]] | None = None
        rules = [
            f"{path} {entry.id}"
            for path, entry in sorted(entries.items())
            if path.rpartition("/")[2] in {".gitattributes", ".lfsconfig"}
        ]
        self.conversions = "\n".join([told, *rules])

    def find(self, path: str, *, follow: bool) -> tuple[str, str, Entry | None]:
        """
        Return where a path of the commit leads to, and what is there.

        That is: a path of the commit, and if it leads out of it, an absolute one.
        """
        walk = _Walk(root=self._root, entries=self._entries, follow=follow)
        walk.todo = _parts(path)
        for _ in range(_STEPS_LIMIT):
            if not walk.todo:
                where = "/".join(walk.done)
                entry = self._entries.get(where) if where else Entry(_FOLDER, "")
                return where, "", entry
            if found := walk.step():
                return found
        return "/".join(walk.done), "", Entry("loop", "")

    def listing(self, folder: str) -> str:
        """Return the names in a folder, and of which kind each is."""
        if self._children is None:
            children: dict[str, list[str]] = {}
            for path in self._entries:
                children.setdefault(path.rpartition("/")[0], []).append(path)
            self._children = children
        names = sorted(self._children.get(folder, ()))
        kinds = [f"{_KINDS.get(self._entries[n].mode, 'f')}{n}" for n in names]
        return _short("\0".join(kinds).encode(errors="surrogateescape"))


@dataclass(slots=True, kw_only=True)
class _Walk:
    """The way along a path of the commit, links included."""

    root: Path
    entries: Mapping[str, Entry]
    follow: bool
    done: list[str] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)  # the next one last

    def step(self) -> tuple[str, str, Entry | None] | None:
        """Go one part further; return where it ends, if it does so here."""
        part = self.todo.pop()
        if part == "..":
            return self._up()
        self.done.append(part)
        entry = self.entries.get("/".join(self.done))
        if entry is None or entry.mode == _MODULE:
            return self._rest(), "", entry
        if entry.mode == _LINKED and entry.id != OVERLAY:
            return self._along() if self.todo or self.follow else None
        if entry.mode != _FOLDER and self.todo:  # a file has nothing below it
            return self._rest(), "", None
        return None

    def _up(self) -> tuple[str, str, None] | None:
        if not self.done:
            return "", str(Path(self.root.parent, *reversed(self.todo))), None
        self.done.pop()
        return None

    def _along(self) -> tuple[str, str, None] | None:
        path = os.path.join(self.root, *self.done)  # noqa: PTH118 -- text, any bytes
        target = os.readlink(path)  # noqa: PTH115 -- text, any bytes
        self.done.pop()
        if target.startswith("/"):
            return "", str(Path(target, *reversed(self.todo))), None
        self.todo += _parts(target)
        return None

    def _rest(self) -> str:
        return "/".join([*self.done, *reversed(self.todo)])


def commit_of(checkout: Path) -> Commit | None:
    """Return what git has in *checkout*; None if nothing beside it tells."""
    beside = checkout.parent
    try:
        told, *lines = (beside / TREE).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    entries: dict[str, Entry] = {}
    for line in lines:
        head, _, path = line.partition("\t")
        if path.startswith('"'):
            path = unquoted(path[1:-1])
        if path:
            mode, _, object_id = head.split(" ")
            entries[path] = Entry(mode, object_id)
    for name in _overlaid(beside / OVERLAY):
        entries[name] = Entry(_LINKED, OVERLAY)
        for folder in Path(name).parents[:-1]:
            entries.setdefault(str(folder), Entry(_FOLDER, ""))
    return Commit(checkout, entries, told)


def _overlaid(manifest: Path) -> list[str]:
    with contextlib.suppress(OSError, ValueError):
        return list(json.loads(manifest.read_text(encoding="ascii")))
    return []


def _parts(path: str) -> list[str]:
    """Return the parts of *path*, the first one last."""
    return [part for part in reversed(path.split("/")) if part not in {"", "."}]


class Ground:
    """What is there now, for one checkout; looked at once, for many threads."""

    def __init__(self, checkout: Path, *, copy: str = "") -> None:
        """Take also the *copy* of the checkout in the store, which Nix reads."""
        self.checkout = checkout.absolute()
        self.copy = copy
        self.commit = commit_of(self.checkout)
        forms = {str(self.checkout), str(self.checkout.resolve()), copy} - {""}
        self._forms = tuple(sorted(forms, key=len, reverse=True))
        self._states: dict[tuple[str, str], str] = {}
        self._real: dict[str, str] = {}
        self._ways: dict[str, float] = {}

    def inside(self, path: str) -> str | None:
        """Return *path* relative to the checkout, None if it is not below it."""
        for form in self._forms:
            if path == form:
                return "."
            if path.startswith(f"{form}/"):
                return path[len(form) :].lstrip("/") or "."
        return None

    def is_above(self, path: str) -> bool:
        """Say whether the checkout is below *path*."""
        return any(form.startswith(f"{path.rstrip('/')}/") for form in self._forms)

    def state(self, how: str, path: str) -> str:
        """
        Return what is at *path*, as far as *how* it was asked for can tell.

        *path* is absolute, or relative to the checkout.
        """
        key = (how, path)
        if key not in self._states:
            self._states[key] = self._state(how, path)
        return self._states[key]

    def changed_at(self, path: str) -> float:
        """Return when what is at *path*, or leads there, changed last; 0 if unknown."""
        full = self._full(path)
        times = [self.led_otherwise_at(path)]
        with contextlib.suppress(OSError, ValueError):
            times.append(os.lstat(full).st_ctime)
        with contextlib.suppress(OSError, ValueError):
            times.append(os.stat(full).st_ctime)  # noqa: PTH116 -- text
        return max(times)

    def leads_to(self, path: str) -> str:
        """Return where *path* leads to on this machine, be there something or not."""
        return os.path.realpath(self._full(path))

    def led_otherwise_at(self, path: str) -> float:
        """Return when the links on the way to *path*, itself one or not, changed."""
        full = self._full(path)
        if full not in self._ways:
            self._ways[full] = 0.0  # a link to itself leads nowhere
            self._ways[full] = self._way_changed(full)
        return self._ways[full]

    def _way_changed(self, full: str) -> float:
        folder = os.path.dirname(full)  # noqa: PTH120 -- text, any bytes
        if folder == full:
            return 0.0
        before = self.led_otherwise_at(folder)
        with contextlib.suppress(OSError, ValueError):
            status = os.lstat(full)
            if stat.S_ISLNK(status.st_mode):
                aim = os.path.join(folder, os.readlink(full))  # noqa: PTH115, PTH118
                return max(before, status.st_ctime, self.led_otherwise_at(aim))
        return before

    def _full(self, path: str) -> str:
        return os.path.join(self.checkout, path)  # noqa: PTH118 -- text, any bytes

    def _state(self, how: str, path: str) -> str:
        if path.startswith("/") or self.commit is None:
            return self._on_disk(how, self._full(path))
        try:
            where, outside, entry = self.commit.find(path, follow=how != LINK)
        except OSError as error:  # the checkout is not what its commit says
            return f"error {error}"
        if outside:
            there = self._on_disk(how, outside)
            return there if there == MISSING else f"{outside} {there}"
        told = _told(self.commit, how, where, entry)
        return told if where == path else f"{where} {told}"

    def _on_disk(self, how: str, path: str) -> str:
        """Return what is on the disk; "times-…" takes size and time for it as well."""
        what = how.removeprefix("times-")
        try:
            real = self._resolved(path, follow=what != LINK)
            if real.startswith(f"{STORE}/"):
                return f"store {real}"
            told = _told_of_file(what, real)
            status = os.lstat(real)
        except (OSError, ValueError) as error:
            return MISSING if _is_missing(error) else f"error {error}"
        if what != how:
            told = f"{told} {status.st_size} {status.st_mtime_ns}"
        return told if real == path else f"{self._shown(real)} {told}"

    def _shown(self, real: str) -> str:
        inside = self.inside(real)
        return real if inside is None else f"./{inside}"

    def _resolved(self, path: str, *, follow: bool) -> str:
        """Return where *path* leads to; links on the way are looked at once."""
        folder, _, name = path.rstrip("/").rpartition("/")
        if name in {"", ".", ".."}:
            return os.path.realpath(path, strict=True)
        real = self._real.get(folder)
        if real is None:
            real = self._real[folder] = os.path.realpath(folder or "/")
        whole = f"{real.rstrip('/')}/{name}"
        if follow and stat.S_ISLNK(os.lstat(whole).st_mode):
            return os.path.realpath(whole, strict=True)
        return whole


def _is_missing(error: Exception) -> bool:
    return isinstance(error, FileNotFoundError | NotADirectoryError)


def _told(commit: Commit, how: str, where: str, entry: Entry | None) -> str:
    if entry is None:
        return MISSING
    if entry.mode == _MODULE:
        return f"submodule {entry.id}"
    if entry.mode == _FOLDER:
        return commit.listing(where) if how in {READ, LIST} else "folder"
    if how in {LOOK, LINK} and entry.mode != _LINKED:
        return entry.mode
    return f"{entry.mode} {entry.id}"


def _told_of_file(how: str, path: str) -> str:
    status = os.lstat(path)
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        return _listing(path) if how in {READ, LIST} else "folder"
    if stat.S_ISLNK(mode):
        return f"link {os.readlink(path)}"  # noqa: PTH115 -- text, any bytes
    if not stat.S_ISREG(mode):
        return f"special {stat.S_IFMT(mode):o}"
    kind = "program" if mode & stat.S_IXUSR else "file"
    return f"{kind} {_digests.of(path, status)}" if how == READ else kind


def _listing(path: str) -> str:
    with os.scandir(path) as found:
        names = sorted(f"{_kind(one)}{one.name}" for one in found)
    return _short("\0".join(names).encode(errors="surrogateescape"))


def _kind(one: "os.DirEntry[str]") -> str:
    if one.is_symlink():
        return "l"
    return "d" if one.is_dir(follow_symlinks=False) else "f"


class _Digests:
    """Digests of files outside, read again only if a file was touched."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}

    def of(self, path: str, status: os.stat_result) -> str:
        stamp = _stamp(status)
        known = self._known.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        digest = hashlib.sha256()
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 -- text, any bytes
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        text = digest.hexdigest()[:32]
        if _is_settled(status):
            with self._lock:
                self._known[path] = (stamp, text)
        return text


_digests = _Digests()


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (status.st_dev, status.st_ino, status.st_size, *times)


def _is_settled(status: os.stat_result) -> bool:
    """Say whether another change now would show in the times of a file."""
    now = time.time_ns() / 1e9
    return now - max(status.st_mtime, status.st_ctime) > _SETTLED_SECONDS


@lru_cache(maxsize=4096)
def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
