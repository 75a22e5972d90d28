"""Files that hold the contents of keys."""

import os
import stat
import tempfile
from pathlib import Path

from reconciler.errors import KeyContentError
from reconciler.settings.named_files import read_file

LIMIT = 1 << 20
"""Bytes of the largest content of a key."""

AGE = ".age"

_GIT_CRYPT = b"\0GITCRYPT"


def read(path: Path, *, shown: str, limit: int = LIMIT) -> bytes:
    """Return what the file *path* holds. Raises KeyContentError that says *shown*."""
    content, reason = None, "is no path"
    try:
        content = read_file(path, limit + 1)
    except ValueError:  # a NUL byte
        pass
    except OSError as error:
        reason = error.strerror or "cannot be read"
    if content is None:
        message = f"{shown}: {reason}"
        raise KeyContentError(message)
    return _checked(content, shown=shown, limit=limit)


def stamp(path: Path) -> str:
    """Return what changes whenever the file *path*, links followed, may change."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        return f"{path} {type(error).__name__}"
    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    return f"{path} {status.st_dev} {status.st_ino} {status.st_size} {times}"


def replace(path: Path, content: bytes) -> None:
    """
    Make the file *path* hold *content*, which is no secret, all or nothing.

    It keeps its mode; a new one can be read by others. Raises KeyContentError.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
        number, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(content)
                os.fchmod(number, mode)
                os.fsync(number)
            Path(aside).replace(path)
        except BaseException:
            Path(aside).unlink()
            raise
    except OSError as error:
        message = f"{path}: cannot be written: {error.strerror}"
        raise KeyContentError(message) from error


def _checked(content: bytes, *, shown: str, limit: int) -> bytes:
    if len(content) > limit:
        message = f"{shown}: is larger than {limit >> 20} MiB"
        raise KeyContentError(message)
    if content.startswith(_GIT_CRYPT):
        message = f"{shown}: is still encrypted by git-crypt, which is not run here"
        raise KeyContentError(message)
    return content
