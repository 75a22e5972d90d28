"""
End what tests have started and not ended, however the test run ends.

`watch` marks this process and all that it starts from then on, by a variable of their
environment, and starts this file as a program: it waits until the test run is over or
was killed, and ends whatever still bears the mark. Fleets and mounts are not ended by
that alone; see ``reaper.py``, which therefore bears no mark.
"""

import contextlib
import os
import select
import signal
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path

MARK = "RECONCILER_TEST_RUN"
LOOKS = 50  # until nothing is left; what is being started may be overlooked once
DEATH = 5.0  # seconds that a process may take to die


def watch() -> None:
    """Mark this process, unless it was started by one that is watched."""
    if MARK in os.environ:
        return
    mark = uuid.uuid4().hex
    # The other end is ours and nobody inherits it: it is closed when we are gone.
    theirs, _ours = os.pipe()
    # Nothing in here is to wait for it.
    os.posix_spawn(
        sys.executable,
        [sys.executable, __file__, mark],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, theirs, 0)],
        setsid=True,
    )
    os.close(theirs)
    os.environ[MARK] = mark


def unmarked() -> Mapping[str, str]:
    """Return the environment for what has to outlive the test run."""
    return {name: value for name, value in os.environ.items() if name != MARK}


def left(mark: str) -> list[int]:
    """Return the processes that bear *mark*."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended, or is not ours to look at
            if process.name.isdecimal() and wanted in _environment(process):
                found.append(int(process.name))
    return found


def _environment(process: Path) -> list[bytes]:
    return (process / "environ").read_bytes().split(b"\0")


def _end(mark: str) -> None:
    for _ in range(LOOKS):
        if not (pids := left(mark)):
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                _kill(pid)


def _kill(pid: int) -> None:
    """Kill a process, and wait until it is gone, or DEATH is over."""
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        select.select([process], [], [], DEATH)
    finally:
        os.close(process)


if __name__ == "__main__":
    sys.stdin.read()
    _end(sys.argv[1])
