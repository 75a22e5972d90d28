"""
Repositories in the state directory, each a copy of one that is elsewhere.

Whatever is wrong with a copy is no fault of the repository that it came from, and costs
a fetch at most: what a git that was killed left behind is removed, and a copy that
cannot be used is made anew.
"""

import contextlib
import os
import re
from pathlib import Path

import structlog

from reconciler.errors import CommandError, SourceError
from reconciler.source import command
from reconciler.source.network import Remote

log = structlog.get_logger(__name__)

FORMATS = {40: "sha1", 64: "sha256"}  # by the length of an object name

# Git complains so of refs that it finds on our side, whatever fsck says of them.
_OUR_REFS = re.compile("cannot lock ref|unable to (resolve|update) |cannot update ref")

# What a git that was killed leaves: locks, which stop the next one, and objects that
# are half written or kept from being packed. In use they are under our own lock only.
_LEFT_BEHIND = re.compile(
    r"(.*/)?[^/]+\.lock|gc\.pid|objects/.*/tmp_[^/]+|objects/pack/.*\.keep"
)


class Copy:
    """One bare repository; what is written to it is written under its lock."""

    def __init__(self, path: Path, remote: Remote) -> None:
        """Take where it is or will be, and where it comes from."""
        self.path = path
        self._remote = remote
        self._lock = path.with_suffix(".lock")

    @property
    def shown(self) -> str:
        """Where it comes from, for people."""
        return self._remote.shown

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Keep other threads and processes from writing. Raises StateError."""
        return command.locked(self._lock)

    def bring(self, name: str, *refspecs: str, branch: str = "main") -> None:
        """
        Fetch *refspecs*, under the lock; *name* is an object name from over there.

        A damaged copy is made anew. Raises SourceError, and StateError.
        """
        if not self.path.exists():
            self.renew(name, *refspecs, branch=branch)
            return
        self._tidy()
        try:
            self._remote.fetch(self.path, *refspecs)
        except SourceError as error:
            if not _is_about_refs(error) and self._is_sound(name):
                raise
            self.renew(name, *refspecs, branch=branch)

    def add(self, *refspecs: str) -> None:
        """Fetch *refspecs*, under the lock, besides what is there. Raises as above."""
        self._tidy()
        self._remote.fetch(self.path, *refspecs)

    def renew(self, name: str, *refspecs: str, branch: str = "main") -> None:
        """
        Make it anew, under the lock, with *refspecs* alone.

        The old one stays until the new one is whole. Raises what `bring` raises.
        """
        if self.path.exists():
            log.warning("mirror is damaged: making it anew", mirror=str(self.path))
        fresh, gone = (self.path.with_suffix(end) for end in (".new", ".gone"))
        with command.state_errors(self.path.parent):
            command.discard(fresh)
            command.discard(gone)
        _init(fresh, name, branch)
        self._remote.fetch(fresh, *refspecs)
        with command.state_errors(self.path.parent):
            if self.path.exists():
                self.path.rename(gone)
            fresh.rename(self.path)
            command.discard(gone)

    def pack(self) -> None:
        """Pack it if that is due. Raises StateError."""
        if not self.path.exists():
            return
        with self.locked(), contextlib.suppress(CommandError):
            self._tidy()
            argv = ["-c", "gc.auto=6700", "-c", "gc.autoDetach=false"]
            command.local(self.path, *argv, "gc", "--auto", "--quiet")

    @property
    def is_suspect(self) -> bool:
        """Whether something that it should hold could not be read."""
        return self._suspect_mark.exists()

    def suspect(self, commit: str) -> None:
        """Remember that it is damaged if *commit* cannot be read whole."""
        argv = ["archive", "--format=tar", "--output=/dev/null", commit]
        with contextlib.suppress(OSError):
            if command.local(self.path, *argv, check=False).status != 0:
                self._suspect_mark.touch()

    @property
    def _suspect_mark(self) -> Path:
        return self.path / "reconciler-suspect"

    def _tidy(self) -> None:
        """Remove what keeps git from going on after one that was killed."""
        with command.state_errors(self.path.parent):
            for left in self._left_behind():
                log.info("removing what a git that was killed left", file=str(left))
                left.unlink(missing_ok=True)

    def _left_behind(self) -> list[Path]:
        files = (
            Path(folder, name).relative_to(self.path)
            for folder, _folders, names in os.walk(self.path)
            for name in names
        )
        left = [file for file in files if _LEFT_BEHIND.fullmatch(str(file))]
        return [self.path / file for file in left]

    def _is_sound(self, name: str) -> bool:
        """Say whether a fetch of *name* can have failed for another reason than us."""
        argv = ["rev-parse", "--show-object-format"]
        form = command.local(self.path, *argv, check=False).stdout.strip()
        if form != FORMATS.get(len(name)):
            return False
        argv = ["fsck", "--connectivity-only", "--no-dangling", "--no-progress"]
        return command.local(self.path, *argv, check=False).status == 0


def _init(path: Path, name: str, branch: str) -> None:
    """Make an empty repository for objects named like *name*, without any hook."""
    with command.state_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    options = ["--quiet", "--bare", "--template=", f"--initial-branch={branch}"]
    form = FORMATS.get(len(name), "sha1")
    try:
        command.local(path, "init", *options, f"--object-format={form}")
    except CommandError as error:
        message = f"cannot make {path}: {command.said(error)}"
        raise SourceError(message) from error
    command.local(path, "config", "core.logAllRefUpdates", "true")


def _is_about_refs(error: SourceError) -> bool:
    cause = error.__cause__
    return isinstance(cause, CommandError) and bool(_OUR_REFS.search(cause.stderr))
