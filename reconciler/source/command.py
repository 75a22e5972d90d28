"""
Git as we call it: never asking, never running what a repository brings along.

GitPython starts git; `process` gives each command its deadline and ends ssh and its kin
with it. GitPython's own object model stays unused: it cannot read repositories with
SHA-256 object names.
"""

import contextlib
import fcntl
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from git.cmd import Git
from git.exc import GitCommandNotFound

from reconciler import process
from reconciler.errors import (
    CommandError,
    CommandMissingError,
    CommandTimeoutError,
    SourceError,
    StateError,
    quote,
)
from reconciler.printable import shown
from reconciler.process import Completed

LOCAL_DEADLINE = 300.0
"""Seconds for a command that works on our own disk."""

ASK_DEADLINE = 60.0
"""Seconds for asking a repository which branches it has."""

FETCH_DEADLINE = 3600.0
"""Seconds for a fetch, which may be the first one of a large repository."""

LOCK_DEADLINE = 900.0
"""Seconds for somebody else to be done with what only one may do at a time."""

LOOK_DEADLINE = (
    4 * ASK_DEADLINE
    + 2 * FETCH_DEADLINE  # a mirror that turns out to be damaged is made anew
    + FETCH_DEADLINE  # what is in LFS
    + 4 * LOCK_DEADLINE
    + 10 * LOCAL_DEADLINE
)
"""
Seconds in which a new commit is fetched and checked out, whatever goes wrong.

Submodules come on top. They need not be counted: each that was fetched stays.
"""

_LOCK_LOOK = 0.05  # seconds between two looks whether a lock is free

# Hooks, a file system monitor and background work are the ways in which plain git
# commands start programs.
OPTIONS = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "log.showSignature=false"),
)
STABLE = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    # For reflogs; else git asks DNS for our full name, which may take its time.
    "GIT_COMMITTER_NAME": "reconciler",
    "GIT_COMMITTER_EMAIL": "reconciler@localhost",
}
# What a person set up on this machine (line ends, filters, ignored files) must not
# change what a checkout holds.
_PRISTINE = {**STABLE, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
_OUR_DISK = re.compile(
    "No space left on device|Disk quota exceeded|Read-only file system"
    "|unable to write file|unable to create file"  # git does not always say why
)
# Advice that fits nothing, progress, and what was fetched.
_NOISE = re.compile(
    r"Please make sure you have the correct|and the repository exists\."
    r"|(remote: )?[A-Z][a-z]+ [a-z]+: +\d+|remote: Total \d|From |[ +*!=t-] "
)


def local(
    git_dir: Path,
    *args: str,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> Completed:
    """
    Run git on *git_dir*, which is ours, blind to the configuration of this machine.

    Raises CommandError, or StateError where the disk is the reason.
    """
    argv = [*OPTIONS, f"--git-dir={git_dir}", *args]
    with disk_errors(git_dir):
        return git(
            argv, deadline=LOCAL_DEADLINE, env={**_PRISTINE, **(env or {})}, check=check
        )


def git(
    args: Sequence[str],
    *,
    deadline: float,
    env: Mapping[str, str],
    silence: float | None = None,
    check: bool = True,
) -> Completed:
    """
    Run git through GitPython, for at most *deadline* seconds; *env* is added to ours.

    It is ended too when it says nothing for *silence* seconds. Raises what
    `process.follow` raises, and CommandMissingError.
    """
    argv = ["git", *args]
    held = []  # GitPython ends a process when its handle is let go

    def start() -> subprocess.Popen[bytes]:
        handle = Git().execute(
            argv, as_process=True, env=dict(env), start_new_session=True
        )
        held.append(handle)
        return cast("subprocess.Popen[bytes]", handle.proc)

    try:
        return process.follow(
            argv, start, deadline=deadline, silence=silence, check=check
        )
    except GitCommandNotFound as error:
        raise CommandMissingError(argv[0]) from error


def said(error: CommandError) -> str:
    """Return what git complained of, in one line and without credentials."""
    lines = [line.strip() for line in error.stderr.splitlines() if line.strip()]
    told = [line for line in lines if not _NOISE.match(line)]
    if isinstance(error, CommandTimeoutError):  # that is why, whatever it said before
        last = f", last: {lines[-1]}" if lines else ""
        return quote(shown("; ".join([*told[-4:], f"{error}{last}"])), 500)
    return quote(shown("; ".join(told[-4:]) or str(error)), 500)


# --- the machine -----------------------------------------------------------------


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """
    Keep other threads and processes out of what *file* stands for.

    Raises StateError where one of them holds it for LOCK_DEADLINE.
    """
    with state_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = file.open("w")
    with handle:  # closing it unlocks
        give_up = time.monotonic() + LOCK_DEADLINE
        while not _lock(handle):
            if time.monotonic() > give_up:
                message = (
                    f"{file} has been locked for {LOCK_DEADLINE:g} s; to see by which"
                    f" process: fuser -v {file}"
                )
                raise StateError(message)
            time.sleep(_LOCK_LOOK)  # flock itself knows no deadline
        yield


def _lock(handle: IO[str]) -> bool:
    """Lock the file of *handle* unless somebody else has; return whether it is."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def discard(path: Path) -> None:
    """Remove what is at *path*, whatever that is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def state_errors(directory: Path) -> Iterator[None]:
    """Turn what the system refuses into a StateError that names *directory*."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        message = f"the state directory {directory}: {error.strerror}{where}"
        raise StateError(message) from error


@contextlib.contextmanager
def disk_errors(git_dir: Path) -> Iterator[None]:
    """Raise StateError where git complains of the disk on which *git_dir* is."""
    try:
        yield
    except CommandError as error:
        _raise_for_disk(error, git_dir)
        raise
    except SourceError as error:
        if isinstance(error.__cause__, CommandError):
            _raise_for_disk(error.__cause__, git_dir)
        raise


def _raise_for_disk(error: CommandError, git_dir: Path) -> None:
    lines = error.stderr.splitlines()
    # What the other side says begins so; its disk is not ours.
    ours = [line for line in lines if not line.startswith("remote:")]
    full = any(_OUR_DISK.search(line) for line in ours)
    if full or any("Permission denied" in x and str(git_dir) in x for x in ours):
        free = shutil.disk_usage(git_dir.parent).free >> 20
        message = (
            f"the state directory {git_dir.parent}: {said(error)} ({free} MiB free)"
        )
        raise StateError(message) from error
