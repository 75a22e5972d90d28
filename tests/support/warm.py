"""
Programs of ours that start in a tenth of the time: forked from one that imported all.

To import what the command line is made of takes more than half a second, and the tests
start it hundreds of times. So each worker has a process that has everything imported
but the command line itself, and forks. What it forks is a process like any other: it
has its own arguments, environment, folder, files and session, is killed by signals, and
ends as Python ends. What depends on how the program is imported, or on how much memory
it has, is to be tried with the program itself, as tests/adapters/test_cli.py does.

    started = warm.start([sys.executable, "-m", "reconciler", "status"])
    assert started.wait(timeout=60) == 0
"""

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tests.support.wait import patience

ROOT = Path(__file__).parents[2]
STARTING = 60.0  # seconds


class Started:
    """A program that was started; as `subprocess.Popen`, where tests need that."""

    def __init__(self, args: Sequence[str], pid: int, told: socket.socket) -> None:
        self.args = list(args)
        self.pid = pid
        self.returncode: int | None = None
        self._told = told

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(timeout=0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status as soon as it has one."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            said = self._told.recv(64)
            self._told.close()
            assert said, f"who starts {self.args} is gone"
            self.returncode = os.waitstatus_to_exitcode(int(said))
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            # Between the two it may end; its number is not given to another so soon.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class Starter:
    """A process that forks what is to be started; see ``starter.py``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.starter", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def close(self) -> None:
        """End it, and all that it started."""
        self._ours.close()
        self._process.wait()

    def start(
        self,
        argv: Sequence[str],
        output: tuple[IO[Any], IO[Any]],
        *,
        env: Mapping[str, str] | None = None,
        session: bool = False,
    ) -> Started:
        """Start *argv*; see `start` below."""
        python, *words = argv
        assert python == sys.executable, argv
        job = {
            "argv": words,
            "env": dict(os.environ if env is None else env),
            "umask": int(status_of("self", "Umask"), 8),
            "session": session,
        }
        told, telling = socket.socketpair()
        with telling, Path(os.devnull).open("rb") as nothing:
            files = [one.fileno() for one in (nothing, *output, telling)]
            self._ask(json.dumps(job).encode(), files)
        told.settimeout(patience(STARTING))
        pid = int.from_bytes(told.recv(4), "big")
        assert pid, f"could not start {argv}"
        told.settimeout(None)
        return Started(argv, pid, told)

    def _ask(self, text: bytes, files: Sequence[int]) -> None:
        with self._lock:
            # How long it is first, with the files.
            socket.send_fds(self._ours, [len(text).to_bytes(4, "big")], files)
            self._ours.sendall(text)


Running = Started | subprocess.Popen[bytes]

use_starter = True
"""Whether programs are forked; off where they are measured."""

_one_at_a_time = threading.Lock()
_starters: dict[int, Starter] = {}
"""Of this process only: a fork of it would share the socket."""


def start(
    argv: Sequence[str],
    output: tuple[IO[Any], IO[Any]],
    *,
    env: Mapping[str, str] | None = None,
    session: bool = False,
) -> Running:
    """
    Start *argv* in the project's root: this Python, and ``-m MODULE`` or a script.

    It reads nothing, writes to the two files *output*, has a session of its own if so
    said, and is killed when this process ends.
    """
    if use_starter:
        return _starter().start(argv, output, env=env, session=session)
    return subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *argv],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=output[0],
        stderr=output[1],
        env=env,
        start_new_session=session,
    )


def run(
    argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run *argv* to its end; return what it printed."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        started = start(argv, (out, err), env=env)
        try:
            status = started.wait(timeout=timeout)
        except BaseException:
            started.kill()
            started.wait()
            raise
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(list(argv), status, out.read(), err.read())


def status_of(pid: int | str, name: str) -> str:
    """Return what the kernel tells under *name* of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (one for one in lines if one.startswith(f"{name}:"))
    return line.partition(":")[2].strip()


def _starter() -> Starter:
    with _one_at_a_time:
        if os.getpid() not in _starters:
            _starters[os.getpid()] = Starter()
            atexit.register(_starters[os.getpid()].close)
        return _starters[os.getpid()]
