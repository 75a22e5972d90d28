"""A disk of its own for the daemon's state: one that fills up, or fails."""

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.fleet import Reaper

SIZE = "48M"
FILLER = "filler"


class StateDisk:
    """An ext4 image that is mounted at a folder; a context manager."""

    def __init__(self, folder: Path, reaper: Reaper) -> None:
        self.folder = folder
        self._image = folder.with_suffix(".img")
        self._reaper = reaper

    def __enter__(self) -> Self:
        self.folder.mkdir(mode=0o700)
        _run("truncate", "--size", SIZE, str(self._image))
        _run("mkfs.ext4", "-q", "-m", "0", str(self._image))
        self._reaper.watch_mount(self.folder)
        self._mount()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._unmount()
        self._reaper.forget_mount(self.folder)

    def fill(self) -> None:
        """Leave no byte."""
        script = f"cat /dev/zero >{FILLER} 2>&- ; sync -f ."
        subprocess.run(["sh", "-c", script], cwd=self.folder, check=True, timeout=60)

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
        self._unmount()
        _run("sync")
        repaired = self._image.with_suffix(".repaired")
        _run("cp", "--sparse=always", str(self._image), str(repaired))
        repaired.replace(self._image)
        argv = ["e2fsck", "-fy", str(self._image)]
        done = subprocess.run(argv, check=False, timeout=60, capture_output=True)
        assert done.returncode in (0, 1), done.stdout  # 1: errors were corrected
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.folder))
        self.folder.chmod(0o700)

    def _unmount(self) -> None:
        _run("umount", "--lazy", str(self.folder))


def _run(*argv: str) -> None:
    subprocess.run(argv, stdin=subprocess.DEVNULL, check=True, timeout=60)
