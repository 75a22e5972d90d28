"""
Folders that git does not know, laid over a checkout.

Every file becomes a symlink, never a copy: the secret stays in one place, and where Nix
copies a folder (``src = ./.``), it copies the link. A file that the repository has too
is an error, so that nobody has to guess which of the two counts.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from reconciler.errors import OverlayError, StateError

FILES_LIMIT = 10_000
"""Files of all folders; more of them are no secrets but a wrong path."""

_SHOWN = 5
_MANIFEST = "overlay"  # beside the checkout: the names of our links
_SKIPPED = frozenset({".git"})

Links = dict[str, Path]  # name in the checkout -> file on this machine


class Overlays:
    """
    The folders of ``repository.secrets``: folder in the repository -> folder here.

    May be used by many threads and processes; evaluations may run meanwhile.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)

    @property
    def folders(self) -> tuple[Path, ...]:
        """What to watch, recursively; some may not exist."""
        return tuple(self._folders.values())

    def lay(self, checkout: Path) -> None:
        """
        Make the links in *checkout* those of the folders; others of ours are removed.

        Raises OverlayError for a file that the repository has too, StateError when the
        checkout cannot be written.
        """
        manifest = checkout.parent / _MANIFEST
        if not self._folders and not manifest.exists():
            return
        try:
            with _locked(manifest.with_suffix(".lock")):
                self._lay(checkout, manifest)
        except OSError as error:
            message = f"{checkout}: cannot lay secrets over it: {error.strerror}"
            raise StateError(message) from error

    def fingerprint(self, places: Collection[str] | None = None) -> str:
        """
        Return what changes whenever a file of the folders may have changed.

        Only of those at these *places* of the repository, if any are named.
        """
        content, of = hashlib.sha256(), self._of(places)
        for name, file in sorted(self._files(of)):
            content.update(f"{name}\0{_stamp(file)}\0".encode(errors="surrogateescape"))
        return content.hexdigest() if of else ""

    def problems(self) -> list[str]:
        """Return what is wrong with the folders, each with its path."""
        found: list[str] = []
        for folder in self._folders.values():
            for _ in _walk(folder, found.append):
                pass
        return found

    def _lay(self, checkout: Path, manifest: Path) -> None:
        ours, wanted = _read(manifest), self._wanted()
        _check(checkout, wanted, ours)
        if ours != set(wanted):
            # First, so that links are known as ours whenever we are interrupted.
            _write(manifest, ours | set(wanted))
        for name in sorted(ours - set(wanted), reverse=True):
            _remove(checkout, name)
        for name, file in wanted.items():
            _link(checkout, name, file)
        if ours != set(wanted):
            _write(manifest, set(wanted))

    def _wanted(self) -> Links:
        links: Links = {}
        for name, file in self._files(self._folders):
            if name in links:
                message = f"{name} is both {links[name]} and {file}: remove one of them"
                raise OverlayError(message)
            links[name] = file
        return links

    def _of(self, places: Collection[str] | None) -> Links:
        some = self._folders if places is None else places
        return {place: self._folders[place] for place in some}

    def _files(self, folders: Links) -> Iterator[tuple[str, Path]]:
        count = 0
        for place, folder in folders.items():
            for file in _walk(folder, _ignore):
                count += 1
                if count > FILES_LIMIT:
                    message = f"{folder} holds more than {FILES_LIMIT} files"
                    raise OverlayError(message)
                yield os.path.normpath(Path(place, file.relative_to(folder))), file


# --- what is there ---------------------------------------------------------------


def _ignore(_problem: str) -> None:
    """Let a folder that cannot be read be empty: keys will miss their files."""


def _walk(folder: Path, tell: Callable[[str], None]) -> Iterator[Path]:
    def failed(error: OSError) -> None:
        tell(f"{error.filename}: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=failed):
        links = [name for name in folders if Path(place, name).is_symlink()]
        folders[:] = sorted({*folders} - {*links} - _SKIPPED)
        for name in sorted([*names, *links]):
            if _is_readable_kind(Path(place, name)):
                yield Path(place, name)


def _is_readable_kind(path: Path) -> bool:
    """Say whether reading *path* ends: no pipe, socket or device."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return True  # a link to nowhere: whoever reads it is told
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        return str(error.errno)
    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    return f"{status.st_size} {times} {status.st_dev} {status.st_ino}"


# --- links -----------------------------------------------------------------------


def _check(checkout: Path, wanted: Links, ours: set[str]) -> None:
    """Refuse a link in the place of what the repository has."""
    taken = {name for name in wanted if _is_taken(checkout, name, ours)}
    if taken:
        names = sorted(taken)
        shown = ", ".join(f"{name} ({wanted[name]})" for name in names[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        message = (
            f"in the repository and in a folder of repository.secrets: {shown}{more}; "
            "remove one of the two"
        )
        raise OverlayError(message)


def _is_taken(checkout: Path, name: str, ours: set[str]) -> bool:
    """Say whether the repository has *name*, or no folder where *name* needs one."""
    parts = name.split("/")
    for count in range(1, len(parts)):
        above = "/".join(parts[:count])
        path = checkout / above
        if above not in ours and os.path.lexists(path) and not _is_folder(path):
            return True
    return name not in ours and os.path.lexists(checkout / name)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _link(checkout: Path, name: str, file: Path) -> None:
    path = checkout / name
    if path.is_symlink() and path.readlink() == file:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside the checkout, where nobody lists a folder that it is in for a moment.
    aside = checkout.parent / f".link-{os.getpid()}-{threading.get_ident()}"
    aside.unlink(missing_ok=True)
    aside.symlink_to(file)
    aside.replace(path)


def _remove(checkout: Path, name: str) -> None:
    """Remove our link *name*, and the folders that are empty without it."""
    path = checkout / name
    if path.is_symlink():
        path.unlink()
    for folder in path.parents:
        if folder == checkout:
            return
        try:
            folder.rmdir()
        except OSError:
            return


def _read(manifest: Path) -> set[str]:
    with contextlib.suppress(OSError, ValueError):
        return set(json.loads(manifest.read_text(encoding="ascii")))
    return set()


def _write(manifest: Path, names: set[str]) -> None:
    aside = manifest.with_suffix(".new")
    aside.write_text(json.dumps(sorted(names)), encoding="ascii")
    aside.replace(manifest)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
