"""
The commands that run now: each is known from its start to its end.

None outlives us, whatever interrupts what we do with it.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import IO

from reconciler.errors import StoppingError

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL; Nix and git use them to clean up."""

TICK = 0.05
"""Seconds between two looks whether a command that prints nothing has ended."""

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def started(
    argv: tuple[str, ...], start: Callable[[], subprocess.Popen[bytes]]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start *argv*; on the way out nothing of it is left running."""
    if _registry.stopping:
        raise StoppingError(argv[0])
    process = None
    try:
        with _whole():
            process = start()
            _registry.add(process.pid)
        yield process
    finally:
        with _whole():
            if process is not None:
                _end(process)


def kill_all() -> None:
    """
    End every command that still runs, and refuse new ones.

    For shutdown: returns when all have ended, at the latest after twice GRACE. Callers
    of ``run`` get a StoppingError.
    """
    _registry.stop()


def is_stopping() -> bool:
    """Say whether `kill_all` was called."""
    return _registry.stopping


def has_ended(pid: int) -> bool:
    """Say whether *pid* has ended, without reaping it."""
    options = os.WEXITED | os.WNOWAIT | os.WNOHANG
    return os.waitid(os.P_PID, pid, options) is not None


def wait(pid: int, seconds: float) -> None:
    """Wait for *pid* to end, for at most *seconds*, without reaping it."""
    ends = time.monotonic() + seconds
    pause = 0.0005
    while not has_ended(pid) and time.monotonic() < ends:
        time.sleep(pause)
        pause = min(2 * pause, TICK)


def close(pipe: IO[bytes] | None) -> None:
    """Close our end of *pipe*; what it still holds may be lost."""
    with contextlib.suppress(OSError):
        if pipe is not None:
            pipe.close()


# --- what runs now ---------------------------------------------------------------


class _Registry:
    """The commands that run now, so that none outlives us."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # reentrant: signal handlers come here
        self._running: set[int] = set()
        self.stopping = False

    def add(self, pid: int) -> None:
        with self._changed:
            self._running.add(pid)
            if self.stopping:
                _signal(pid, signal.SIGTERM)

    def signal(self, pid: int, number: signal.Signals) -> None:
        with self._changed:
            if pid in self._running:
                _signal(pid, number)

    def remove(self, pid: int) -> None:
        """Forget *pid*; comes before reaping, after which the number may be reused."""
        with self._changed:
            self._running.discard(pid)
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self.stopping = True
            for number in (signal.SIGTERM, signal.SIGKILL):
                for pid in self._running:
                    _signal(pid, number)
                self._changed.wait_for(lambda: not self._running, timeout=GRACE)


_registry = _Registry()


def _signal(group: int, number: signal.Signals) -> None:
    # A set-uid command (sudo) may not be signalled; we must not fail over it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


# --- start and end ---------------------------------------------------------------


@contextlib.contextmanager
def _whole() -> Iterator[None]:
    """
    Put off Ctrl-C and its like until the block is done.

    Python raises KeyboardInterrupt between any two steps of the main thread: between
    the start of a command and our learning of it, nobody would end that command; and
    while one is ended that is slow to end, a second Ctrl-C would leave it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no other thread is ever interrupted
        return
    asked = {number: signal.getsignal(number) for number in _INTERRUPTS}
    usual = {number: one for number, one in asked.items() if callable(one)}
    struck: list[int] = []
    try:
        for number in usual:
            signal.signal(number, lambda got, _frame: struck.append(got))
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        for got in struck:
            usual[signal.Signals(got)](got, None)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of *process* and its children, close its pipes and reap it."""
    if not has_ended(process.pid):
        _registry.signal(process.pid, signal.SIGTERM)
        wait(process.pid, GRACE)
    # The unreaped leader keeps its number, so this cannot hit a stranger.
    _registry.signal(process.pid, signal.SIGKILL)
    _registry.remove(process.pid)
    for pipe in (process.stdin, process.stdout, process.stderr):
        close(pipe)
    _reap(process)


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Reap *process*, unless it is stuck in the kernel, and note what it took."""
    wait(process.pid, GRACE)
    pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    if pid == process.pid:
        process.returncode = os.waitstatus_to_exitcode(status)
        _peaks[process] = usage.ru_maxrss * 1024


_peaks: weakref.WeakKeyDictionary[subprocess.Popen[bytes], int] = (
    weakref.WeakKeyDictionary()
)


def peak_of(process: subprocess.Popen[bytes]) -> int:
    """
    Return the most bytes of memory that an ended *process* had; 0 if unknown.

    No less than we had ourselves when it began: Linux counts what is shared until exec.
    """
    return _peaks.get(process, 0)
