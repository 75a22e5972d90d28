"""
Folders that last as long as a block, and of which no end of ours leaves one behind.

Who is killed removes nothing. So each folder is locked while its process lives, which
the kernel ends however that ends, and the next one to start removes what nobody holds.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "reconciler-scratch-"


@contextlib.contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """Give an empty folder for us alone, named for its *kind*, until the block ends."""
    folder, mark = _made(f"{_PREFIX}{kind}-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(mark)


def sweep() -> None:
    """Remove the folders of our user whose process is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody else's, in use, or gone by now
            _remove(folder)


def _made(prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        with contextlib.suppress(FileNotFoundError):  # swept before it was locked
            return folder, _locked(folder, fcntl.LOCK_SH)


def _locked(folder: Path, how: int) -> int:
    """Return the lock on *folder*; FileNotFoundError where it was removed meanwhile."""
    mark = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(mark, how)
        folder.lstat()  # no other one can have its name by now
    except BaseException:
        os.close(mark)
        raise
    return mark


def _remove(folder: Path) -> None:
    if folder.lstat().st_uid != os.geteuid():
        return
    mark = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(mark)
