"""Noticing a push to a repository on a path, at once."""

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import structlog
from watchfiles import watch

log = structlog.get_logger(__name__)

# A push is one rename or two; we need not wait for a burst to end. Each step wakes us,
# and a person who saves a file does not wait for it as one who pushes does.
_STEP_MS = 10
_SAVED_STEP_MS = 100
_DEBOUNCE_MS = 30

# What the system's events do not tell (a parent that was moved, a file system that
# sends none, the moment before the watch began) is found after this long.
_LOOK_MS = 1000

Fingerprint = frozenset[tuple[str, int, int, int]]


class Watcher:
    """
    Says "look again" when a branch or tag of the repository at a path may have changed.

    Events only wake it; what it compares are the refs on disk. So what somebody else
    writes in a repository (objects, an index, lock files) makes no noise, and the
    repository may vanish and return.
    """

    def __init__(
        self, path: Path, changed: Callable[[], None], *, refs: str = "heads"
    ) -> None:
        """Take what is called, and which *refs* matter: ``heads`` or ``tags``."""
        self._path = path
        self._changed = changed
        self._refs = f"refs/{refs}"
        self._stop = threading.Event()
        self._seen: Fingerprint = frozenset()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin to watch; every change from now on is noticed."""
        self._seen = _fingerprint(self._path, self._refs)
        self._thread.start()

    def stop(self) -> None:
        """End; returns when the thread has ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch(_folders(self._path, self._refs))
            except (OSError, RuntimeError) as error:
                # A folder vanished, or the system has no more watches to give.
                log.debug(
                    "watching by looking", path=str(self._path), reason=str(error)
                )
                self._look()
                self._stop.wait(_LOOK_MS / 1000)

    def _watch(self, folders: list[Path]) -> None:
        """Watch *folders* until they are no longer the ones to watch."""
        before = _identities(folders)
        events = watch(
            *folders,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            stop_event=self._stop,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            recursive=False,
            raise_interrupt=False,
        )
        for _ in events:
            self._look()
            if _identities(_folders(self._path, self._refs)) != before:
                return

    def _look(self) -> None:
        now = _fingerprint(self._path, self._refs)
        if now == self._seen:
            return
        self._seen = now
        try:
            self._changed()
        except Exception:
            log.exception("the watcher's listener failed")


class FolderWatcher:
    """Says "look again" when anything below some folders changes, or one appears."""

    def __init__(self, folders: Sequence[Path], changed: Callable[[], None]) -> None:
        self._folders = tuple(folders)
        self._changed = changed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="folders", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns when the thread has ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            there = [folder for folder in self._folders if folder.is_dir()]
            try:
                if there:
                    self._watch(there)
            except (OSError, RuntimeError) as error:
                log.debug("watching by looking", reason=str(error))
            self._stop.wait(_LOOK_MS / 1000)

    def _watch(self, there: list[Path]) -> None:
        """Watch folders until one more of ours is there."""
        events = watch(
            *there,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_SAVED_STEP_MS,
            stop_event=self._stop,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        for changes in events:
            if changes:
                self._changed()
            if [folder for folder in self._folders if folder.is_dir()] != there:
                self._changed()
                return


class FileWatcher:
    """
    Says so when a file changes: when it is written, or another one takes its place.

    Also where its name is a link, in however many steps, to what really changes.
    """

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._path = path.absolute()
        self._changed = changed
        self._stop = threading.Event()
        self._seen: tuple[int, int, int] | None = None
        self._thread = threading.Thread(target=self._run, name="file", daemon=True)

    def start(self) -> None:
        """Begin to watch; every change from now on is noticed."""
        self._seen = self._stamp()
        self._thread.start()

    def stop(self) -> None:
        """End; returns when the thread has ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                for _ in self._events():
                    self._look()
            except (OSError, RuntimeError) as error:
                log.debug("watching by looking", reason=str(error))
                self._look()
                self._stop.wait(_LOOK_MS / 1000)

    def _events(self) -> Iterable[object]:
        return watch(
            self._path.parent,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_SAVED_STEP_MS,
            stop_event=self._stop,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            recursive=False,
            raise_interrupt=False,
        )

    def _look(self) -> None:
        now = self._stamp()
        if now != self._seen:
            self._seen = now
            self._changed()

    def _stamp(self) -> tuple[int, int, int] | None:
        status = _status(self._path)
        return status and (status.st_ino, status.st_mtime_ns, status.st_size)


# --- what a repository is made of ------------------------------------------------


def _git_dir(path: Path) -> Path:
    """Return where the refs of the repository at *path* are."""
    inner = path / ".git"
    if inner.is_dir():
        return inner
    try:  # a linked work tree or a submodule
        pointer = inner.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        git_dir = path / pointer
        common = git_dir / "commondir"
        return git_dir / common.read_text().strip() if common.exists() else git_dir
    except (OSError, UnicodeDecodeError):
        return path


def _folders(path: Path, refs: str) -> list[Path]:
    """Return the folders in which something happens when one of *refs* changes."""
    git_dir = _git_dir(path)
    if not git_dir.is_dir():
        return [_nearest(git_dir)]
    around = [git_dir, git_dir / "refs", git_dir / "reftable"]
    inside = [folder for folder, _names in _walk(git_dir / refs)]
    return [folder for folder in dict.fromkeys([*around, *inside]) if folder.is_dir()]


def _nearest(path: Path) -> Path:
    """Return the nearest folder above *path* that exists."""
    return next(parent for parent in path.absolute().parents if parent.is_dir())


def _walk(refs: Path) -> Iterator[tuple[Path, list[str]]]:
    for folder, _folders, names in os.walk(refs):
        yield Path(folder), names


def _fingerprint(path: Path, refs: str) -> Fingerprint:
    """Return what differs when one of *refs* does: git replaces files, never edits."""
    git_dir = _git_dir(path)
    files = [git_dir / "packed-refs", git_dir / "reftable/tables.list"]
    for folder, names in _walk(git_dir / refs):
        files += [folder / name for name in names if not name.endswith(".lock")]
    return frozenset(
        (str(file), status.st_ino, status.st_mtime_ns, status.st_size)
        for file in files
        if (status := _status(file)) and stat.S_ISREG(status.st_mode)
    )


def _identities(folders: list[Path]) -> dict[Path, tuple[int, int] | None]:
    """Return which folders these are, since a path may get another one."""
    statuses = {folder: _status(folder) for folder in folders}
    return {
        folder: (status.st_dev, status.st_ino) if status else None
        for folder, status in statuses.items()
    }


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
