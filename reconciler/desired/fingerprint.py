"""
What an evaluation depends on besides the commit, so that the cache knows when to ask.

A commit names its files by their hash. The rest is on this machine: the search path of
Nix, our own Nix files, the version of Nix. What is read from the network or from the
environment during an evaluation cannot be seen from here.
"""

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

STORE = Path("/nix/store")

WALK_LIMIT = 2000
"""Files of a folder that are looked at; beyond it only its git commit tells."""

FRESH_SECONDS = 5.0
"""A change of a nixpkgs outside of the store is noticed after this long at most."""

_DEFAULT_PATHS = (  # where Nix looks without NIX_PATH and nix.path
    "~/.nix-defexpr/channels",
    "~/.local/state/nix/defexpr/channels",
    "/nix/var/nix/profiles/per-user/root/channels",
)
_VERSION_FILES = (".version", ".version-suffix", ".git-revision")


def digest(parts: Mapping[str, object]) -> str:
    """Return a hexadecimal digest of *parts*, which must be plain JSON values."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def of_file(path: Path | None) -> str:
    """Return a digest of what is in a file; nothing of none, or one that is away."""
    if path is None:
        return ""
    with contextlib.suppress(OSError):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return ""


def of_package(package: Path) -> str:
    """Return a digest of our own code: another release may read the same otherwise."""
    files = sorted(path for ext in ("nix", "py") for path in package.rglob(f"*.{ext}"))
    content = hashlib.sha256()
    for path in files:
        content.update(f"{path.relative_to(package)}\0".encode())
        content.update(path.read_bytes())
    return content.hexdigest()


class SearchPath:
    """
    What Nix's search path stands for, read anew every few seconds at most.

    To look through a nixpkgs outside of the store takes a twentieth of a second, and
    every pass over every host asks. May be used by many threads.
    """

    def __init__(
        self, entries: Sequence[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._entries = entries
        self._clock = clock
        self._lock = threading.Lock()
        self._read: tuple[str | None, list[str]] | None = None
        self._until = 0.0

    def now(self, nix_path: str | None, *, fresh: bool = False) -> list[str]:
        """
        Return what each entry stands for; *nix_path* is the variable NIX_PATH.

        *fresh* is for whoever is about to evaluate: what Nix reads then is not to be
        remembered as what was there a moment before.
        """
        with self._lock:
            known = self._read
            stale = fresh or self._clock() >= self._until
            if known is None or known[0] != nix_path or stale:
                known = (nix_path, of_search_path(self._entries, nix_path))
                self._read, self._until = known, self._clock() + FRESH_SECONDS
            return known[1]


def of_search_path(entries: Sequence[str], nix_path: str | None) -> list[str]:
    """
    Return what each entry of Nix's search path stands for just now.

    *entries* are those of ``nix.path``, *nix_path* is the variable NIX_PATH.
    """
    return [of_entry(entry) for entry in (*entries, *inherited(nix_path))]


def inherited(nix_path: str | None) -> list[str]:
    """Return the entries that Nix takes by itself; *nix_path* is NIX_PATH."""
    if nix_path is None:
        return [os.path.expanduser(path) for path in _DEFAULT_PATHS]  # noqa: PTH111
    return _split(nix_path)


def of_entry(entry: str) -> str:
    """Return one entry (``name=place`` or ``place``) and what its place holds."""
    name, equals, place = entry.partition("=")
    if not equals or "/" in name:
        name, place = "", entry
    if not place.startswith(("/", ".", "~")):
        return entry  # a URL: Nix alone knows what it stands for
    real = Path(place).resolve()
    return f"{name}={real} {of_place(real)}"


def of_place(path: Path) -> str:
    """Return what changes when the file or folder *path* (resolved) changes."""
    if path.is_relative_to(STORE):
        return ""  # immutable
    parts = [*_git_state(path), *_versions(path), *islice(_stamps(path), WALK_LIMIT)]
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()


def _split(nix_path: str) -> list[str]:
    """Split NIX_PATH at its colons, but for those of URLs."""
    entries: list[str] = []
    for part in nix_path.split(":"):
        if entries and part.startswith("//"):
            entries[-1] += f":{part}"
        elif part:
            entries.append(part)
    return entries


def _versions(folder: Path) -> Iterator[str]:
    for name in _VERSION_FILES:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            yield (folder / name).read_text()


def commit_of(folder: Path) -> str:
    """Return the commit that a git repository has checked out; empty of others."""
    git = _git_dir(folder)
    with contextlib.suppress(OSError, UnicodeDecodeError):
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        reference = head.removeprefix("ref: ")
        return (_common_dir(git) / reference).read_text().strip()
    return ""


def _git_state(folder: Path) -> Iterator[str]:
    """Yield the commit that *folder* has checked out, read without starting git."""
    git = _git_dir(folder)
    with contextlib.suppress(OSError, UnicodeDecodeError):
        head = (git / "HEAD").read_text().strip()
        yield head
        yield _stamp(git / "index")
        reference = head.removeprefix("ref: ")
        yield (_common_dir(git) / reference).read_text()
    with contextlib.suppress(OSError):
        yield _stamp(_common_dir(git) / "packed-refs")


def _git_dir(folder: Path) -> Path:
    """Return the git directory of a work tree; a worktree's .git is a file."""
    git = folder / ".git"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return folder / git.read_text().strip().removeprefix("gitdir: ")
    return git


def _common_dir(git: Path) -> Path:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return git / (git / "commondir").read_text().strip()
    return git


def _stamps(path: Path) -> Iterator[str]:
    """Yield path, size and time of change of *path* and the files below, in order."""
    with contextlib.suppress(OSError):
        yield _stamp(path)
    for folder, folders, files in os.walk(path):
        # In place, so that os.walk goes on in this order and leaves git's files out.
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted([*files, *folders]):
            with contextlib.suppress(OSError):
                yield _stamp(Path(folder, name))


def _stamp(path: Path) -> str:
    status = path.lstat()
    return f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
