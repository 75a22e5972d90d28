"""Read a file that the settings or the repository name."""

import errno
import os
import stat
from pathlib import Path

NO_FILE = "is no file"


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
