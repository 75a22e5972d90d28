"""
The process that has all imported, and forks; see ``warm.py``.

    python -m tests.support.starter FD

On the socket FD it is told what to start: how long the text is, in four bytes, with
the files (standard input, output, error, and a socket), then a JSON text. On the socket
that came along it answers with the number of the process, and once that has ended with
its status as wait(2) gives it.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable
from typing import Any

import reconciler
from tests.support.fleet import FLEET_TOOL

PR_SET_PDEATHSIG = 1
BESIDES = (
    *("typer.main", "typer.rich_utils", "rich.live", "rich.markdown", "rich.progress"),
    *("rich.status", "rich.syntax", "rich.table", "rich.tree", "alembic.command"),
)
"""What the command line imports of others."""

LEFT_OUT = ("reconciler.__main__", "reconciler.cli", "reconciler.history.migrations")
"""What looks at terminal and environment when it is imported, or is no module."""


class Starter:
    """Forks what it is asked for, and tells how each ended."""

    def __init__(self, asked: socket.socket) -> None:
        self._asked = asked
        self._running: dict[int, socket.socket] = {}
        self._ended, self._wakeup = socket.socketpair()
        self._wakeup.settimeout(0)  # Python asks for that
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup.fileno())

    def serve(self) -> list[str]:
        """Return the argv in what was forked, and nothing when nobody asks any more."""
        while True:
            ready, _, _ = select.select([self._asked, self._ended], [], [])
            if self._ended in ready:
                self._ended.recv(4096)
                self._tell()
            if self._asked in ready:
                job, files = self._take()
                if job is None:
                    return []
                if self._fork(job, files):
                    return list(job["argv"])

    def _take(self) -> tuple[Any, list[int]]:
        size, files, _, _ = socket.recv_fds(self._asked, 4, 4)
        if not size:
            return None, files
        text, length = b"", int.from_bytes(size, "big")
        while len(text) < length:
            text += self._asked.recv(length - len(text))
        return json.loads(text), files

    def _fork(self, job: Any, files: list[int]) -> bool:  # noqa: ANN401 -- JSON
        """Return whether this is the process that was forked."""
        starter = os.getpid()
        if (pid := os.fork()) == 0:
            self._leave(starter)
            _become(job, files)
            return True
        *others, telling = files
        for file in others:
            os.close(file)
        self._running[pid] = socket.socket(fileno=telling)
        self._running[pid].send(pid.to_bytes(4, "big"))
        return False

    def _leave(self, starter: int) -> None:
        """Leave behind what belongs to the process that forked this one."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != starter:  # too late for that
            os.kill(os.getpid(), signal.SIGKILL)
        for one in (self._asked, self._ended, self._wakeup, *self._running.values()):
            one.close()

    def _tell(self) -> None:
        for pid in list(self._running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with self._running.pop(pid) as telling, contextlib.suppress(OSError):
                    telling.send(str(status).encode())


def _become(job: Any, files: list[int]) -> None:  # noqa: ANN401 -- JSON
    """Take the files, the environment and the rest of what is to be started."""
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
    for file in files:
        os.close(file)
    if job["session"]:
        os.setsid()
    os.umask(job["umask"])
    os.environ.clear()
    os.environ.update(job["env"])
    time.tzset()


def import_all() -> None:
    """Import what takes long."""
    gc.disable()  # imports leave no garbage
    for name in BESIDES:
        importlib.import_module(name)
    _walk(reconciler.__path__, "reconciler.")
    runpy.run_path(str(FLEET_TOOL))
    gc.collect()
    gc.freeze()
    gc.enable()


def _walk(path: Iterable[str], prefix: str) -> None:
    for one in pkgutil.iter_modules(path, prefix):
        if one.name not in LEFT_OUT:
            module = importlib.import_module(one.name)
            if one.ispkg:
                _walk(module.__path__, f"{one.name}.")


if __name__ == "__main__":
    import_all()
    argv = Starter(socket.socket(fileno=int(sys.argv[1]))).serve()
    match argv:
        case ["-m", module, *words]:
            sys.argv[1:] = words
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [script, *_]:
            sys.argv = argv
            runpy.run_path(script, run_name="__main__")
