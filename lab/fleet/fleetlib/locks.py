"""Files that only one process may work behind at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """
    Hold an exclusive lock on the file *path*; yield its descriptor.

    The lock lives as long as any process holds the descriptor, so a child that
    inherits it carries the lock on. The kernel releases the lock of a dead process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open_locked(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def locked_once(path: Path) -> Iterator[None]:
    """Hold the lock as `locked` does, and remove its file when done."""
    with locked(path):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _open_locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Whoever held the lock before us may have removed the file: then this
        # lock keeps nobody out, and the file of that name must be taken again.
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
