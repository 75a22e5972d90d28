"""Read a file that the settings or the repository name."""

import errno
import os
import stat
from pathlib import Path

from reconciler.errors import DeliveryError

NO_FILE = "is no file"

SECRET_LIMIT = 1 << 16
"""Bytes of the largest file with a URL, a password or a token."""


def read_file(path: Path, size: int) -> bytes:
    """
    Return the first *size* bytes of a regular file; OSError for anything else.

    To open a pipe that nobody writes to, or to read one, would never end.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, NO_FILE, str(path))
        with os.fdopen(number, "rb", closefd=False) as file:
            return file.read(size)
    finally:
        os.close(number)


def read_secret(path: Path) -> str:
    """Return the one line in the file at *path*. Raises DeliveryError."""
    try:
        content = read_file(path, SECRET_LIMIT + 1)
        lines = content.decode().split("\n")
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}"
        raise DeliveryError(message) from error
    except UnicodeDecodeError:
        message = f"{path} is not UTF-8 text"
        raise DeliveryError(message) from None
    found = [line.strip() for line in lines if line.strip()]
    if len(content) > SECRET_LIMIT or len(found) != 1 or not found[0].isprintable():
        message = f"{path} should hold one line"
        raise DeliveryError(message)
    return found[0]
