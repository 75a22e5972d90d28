"""A disk of its own for the daemon's state: one that fills up, or fails."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.fleet import Reaper
from tests.support.wait import patience

SIZE = "48M"
FILLER = "filler"


@contextlib.contextmanager
def state_disk(folder: Path, reaper: Reaper) -> Iterator["StateDisk"]:
    """Mount one at *folder*, which is made, for the length of the body."""
    folder.mkdir(mode=0o700)
    disk = StateDisk(folder=folder, image=folder.with_suffix(".img"))
    _run("truncate", "--size", SIZE, str(disk.image))
    _run("mkfs.ext4", "-q", "-m", "0", str(disk.image))
    reaper.watch_mount(folder)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()
        reaper.forget_mount(folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDisk:
    """An ext4 image, and where it is mounted."""

    folder: Path
    image: Path

    def mount(self) -> None:
        """Mount it."""
        _run("mount", "-o", "loop", str(self.image), str(self.folder))
        self.folder.chmod(0o700)

    def unmount(self) -> None:
        """Unmount it, whoever uses it."""
        _run("umount", "--lazy", str(self.folder))

    def fill(self) -> None:
        """Leave no byte."""
        script = f"cat /dev/zero >{FILLER} 2>&- ; sync -f ."
        subprocess.run(
            ["sh", "-c", script], cwd=self.folder, check=True, timeout=patience(60)
        )

    def make_room(self) -> None:
        """End that."""
        (self.folder / FILLER).unlink(missing_ok=True)

    def fail(self) -> None:
        """Have the kernel find an error on it: it lets nobody write any more."""
        _run("mount", "-o", "remount,abort", str(self.folder))

    def repair(self) -> None:
        """
        Check and mount it anew.

        A copy of it: a host's mount namespace that was made meanwhile keeps the first
        one, with its error, in use.
        """
        self.unmount()
        _run("sync")
        repaired = self.image.with_suffix(".repaired")
        _run("cp", "--sparse=always", str(self.image), str(repaired))
        repaired.replace(self.image)
        argv = ["e2fsck", "-fy", str(self.image)]
        done = subprocess.run(
            argv, check=False, timeout=patience(60), capture_output=True
        )
        assert done.returncode in (0, 1), done.stdout  # 1: errors were corrected
        self.mount()


def _run(*argv: str) -> None:
    subprocess.run(argv, stdin=subprocess.DEVNULL, check=True, timeout=patience(60))
