"""A socket in the file system, for whoever runs as we do on this machine."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from reconciler.errors import StateError

NAME = "api.sock"
"""Of the socket, in the state directory."""

MODE = 0o600

_BACKLOG = 128


def bind(path: Path) -> socket.socket:
    """
    Listen at *path*, for our own user only, from the first moment on.

    Whoever else had it is gone: we hold the lock of the state directory. Raises
    StateError.
    """
    local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # What a bind makes has the socket's own mode, less the umask.
        os.fchmod(local.fileno(), MODE)
        with address(path) as name:
            path.unlink(missing_ok=True)
            local.bind(name)
        local.listen(_BACKLOG)
    except OSError as error:
        local.close()
        message = f"cannot listen at {path}: {error.strerror}"
        raise StateError(message) from error
    return local


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """
    Give a name of the socket at *path* that is short enough: 107 bytes, unix(7).

    Raises OSError when its folder cannot be opened.
    """
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
