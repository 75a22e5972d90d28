"""
Somebody who owns a folder and swaps what is in it, all the time.

``python swapper.py KIND FOLDER VICTIM USER`` becomes that user and goes on until it is
killed. KIND is what is swapped against links to VICTIM, a folder that is root's alone.
"""

import contextlib
import ctypes
import os
import pwd
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
HERE = -100  # AT_FDCWD

_libc = ctypes.CDLL(None, use_errno=True)


def exchange(one: Path, other: Path) -> None:
    """Let two names change places, in one step; do nothing where one is missing."""
    _libc.renameat2(HERE, os.fsencode(one), HERE, os.fsencode(other), EXCHANGE)


def swap_folder(folder: Path, victim: Path) -> Callable[[], None]:
    """Swap the folder itself."""
    link = folder.parent / "link"
    link.symlink_to(victim)
    return lambda: exchange(folder, link)


def swap_file(folder: Path, victim: Path) -> Callable[[], None]:
    """Swap the file of the key: a link, a pipe, a file of one's own."""
    own, link, pipe = (folder.parent / name for name in ("own", "link", "pipe"))
    link.symlink_to(victim / "bot")

    def swap() -> None:
        with contextlib.suppress(FileExistsError):
            os.mkfifo(pipe)
        own.write_bytes(b"their own")
        for other in (link, own, link, pipe):
            if not (folder / "bot").exists():
                (folder / "bot").write_bytes(b"")
            exchange(folder / "bot", other)

    return swap


def swap_new(folder: Path, victim: Path) -> Callable[[], None]:
    """Put a link in the place of whatever appears, as soon as it does."""
    aside, link = folder.parent / "aside", folder.parent / "link"

    def swap() -> None:
        for entry in os.scandir(folder):
            link.symlink_to(victim)
            exchange(folder / entry.name, link)
            (folder / entry.name).unlink()
            shutil.rmtree(aside, ignore_errors=True)
            if link.is_dir():
                link.rename(aside)
            else:
                link.unlink()

    return swap


def swap_rooms(folder: Path, victim: Path) -> Callable[[], None]:
    """Swap each new folder against a link and back."""
    link = folder / "link"
    link.symlink_to(victim)

    def swap() -> None:
        for entry in os.scandir(folder):
            if entry.name != "link" and entry.is_dir(follow_symlinks=False):
                exchange(folder / entry.name, link)
                exchange(folder / entry.name, link)

    return swap


KINDS = {
    "folder": swap_folder,
    "file": swap_file,
    "new": swap_new,
    "rooms": swap_rooms,
}

if __name__ == "__main__":
    kind, folder, victim, user = sys.argv[1:]
    account = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    swap = KINDS[kind](Path(folder), Path(victim))
    print("swapping", flush=True)  # noqa: T201 -- who started it waits for this
    while True:
        with contextlib.suppress(OSError):
            swap()
