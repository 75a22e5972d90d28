"""A place in memory for a secret that a person edits."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from reconciler.errors import KeyContentError

IN_MEMORY = frozenset({"tmpfs", "ramfs"})

_MOUNTS = Path("/proc/self/mounts")


def places() -> list[Path]:
    """Return where people usually have memory-backed folders, the best first."""
    own = os.environ.get("XDG_RUNTIME_DIR")
    usual = [Path("/dev/shm"), Path("/run")]  # noqa: S108 -- only as a parent
    return [Path(own), *usual] if own else usual


@contextlib.contextmanager
def scratch_file(
    name: str, content: bytes, *, candidates: Sequence[Path] | None = None
) -> Iterator[Path]:
    """
    Give a file *name* with *content*, for us alone and in memory only.

    At the end it is overwritten and removed, with all that an editor left beside it.
    Raises KeyContentError if none of the *candidates* is in memory and ours to write.
    """
    folder = _folder(places() if candidates is None else candidates)
    try:
        file = folder / name
        file.touch(mode=0o600)
        file.write_bytes(content)
        yield file
    finally:
        for left in folder.rglob("*"):
            _shred(left)
        shutil.rmtree(folder, ignore_errors=True)


def is_in_memory(path: Path, mounts: Path = _MOUNTS) -> bool:
    """Say whether the folder *path* is on a file system that is never on a disk."""
    kinds: dict[Path, str] = {}
    for line in mounts.read_text(errors="replace").splitlines():
        _device, point, kind, *_options = line.split(" ")
        # Octal escapes, as in fstab(5); the last mount on a point is the one seen.
        kinds[Path(point.encode().decode("unicode_escape"))] = kind
    real = path.resolve()
    nearest = next(place for place in (real, *real.parents) if place in kinds)
    return kinds[nearest] in IN_MEMORY


def _folder(candidates: Sequence[Path]) -> Path:
    for place in candidates:
        with contextlib.suppress(OSError, StopIteration):
            if is_in_memory(place):
                return Path(tempfile.mkdtemp(prefix="reconciler-", dir=place))
    names = ", ".join(map(str, candidates))
    message = f"no folder in memory to edit a secret in: none of {names} is tmpfs"
    raise KeyContentError(message)


def _shred(path: Path) -> None:
    """Overwrite what *path* held; in memory that is enough."""
    with contextlib.suppress(OSError):
        if path.is_file() and not path.is_symlink():
            with path.open("r+b") as file:
                file.write(b"\0" * path.stat().st_size)
