"""
The only place that starts local commands.

Every command gets a deadline and a session of its own, so that it ends together with
its children and cannot ask for a password on our terminal.
"""

import contextlib
import math
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn, cast

import structlog
from typing_extensions import override

from reconciler.errors import (
    CommandError,
    CommandMissingError,
    CommandOutputError,
    CommandTimeoutError,
    PermanentError,
    StoppingError,
)

STDOUT_LIMIT = 64 << 20
"""Bytes of stdout; more is an error, since half an answer must not be parsed."""

STDERR_LIMIT = 2 << 20
"""Bytes of stderr that are kept: as many from its beginning as from its end."""

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL; Nix and git use them to clean up."""

_LINE_LIMIT = 64 << 10
_CHUNK = 64 << 10
_TICK = 0.05  # how often we look whether a command that prints nothing has ended
_DRAIN = 0.2  # how long we listen for more once a command has ended
_KILLED = -signal.SIGKILL
_NOT_EXECUTABLE = 126  # what a shell reports for a file that it cannot execute

log = structlog.get_logger(__name__)

_Environment = Mapping[str, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that ended by itself."""

    argv: tuple[str, ...]
    status: int  # negative: the signal that ended it
    stdout: str
    stderr: str  # its middle is missing where it was longer than STDERR_LIMIT
    seconds: float


def run(  # noqa: PLR0913 -- the one door to every local command
    argv: Sequence[str],
    *,
    deadline: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
) -> Completed:
    """
    Run *argv* to its end, for at most *deadline* seconds, and return its output.

    *env* is added to our own environment. Without *stdin* the command reads from
    /dev/null. *on_line* is called in this thread with each line of stderr as it comes.
    Output is decoded as UTF-8, and what is none is replaced. Whatever the command left
    running in its session is killed.

    Raises CommandError for a status that is not 0 if *check*, and for a file that
    cannot be executed; CommandTimeoutError at the deadline; CommandOutputError for
    more than STDOUT_LIMIT bytes on stdout; CommandMissingError; StoppingError after
    ``kill_all``; PermanentError for an argument that no command can be given.
    """

    def start() -> subprocess.Popen[bytes]:
        return _popen(tuple(argv), cwd, env, stdin=stdin is not None)

    command = _Command(tuple(argv), ends=time.monotonic() + deadline, on_line=on_line)
    return _run(command, start, stdin=stdin or b"", seconds=deadline, check=check)


def secret(
    argv: Sequence[str],
    *,
    deadline: float,
    limit: int,
    cwd: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> bytes:
    """
    Run *argv* as `run` does and return its stdout as it is, at most *limit* bytes.

    For commands whose output is a secret: no error holds any of it, nor of stderr,
    which only *on_line* hears. Raises what `run` raises.
    """

    def start() -> subprocess.Popen[bytes]:
        return _popen(tuple(argv), cwd, None, stdin=False)

    ends = time.monotonic() + deadline
    command = _Secret(tuple(argv), ends=ends, on_line=on_line, limit=limit)
    _run(command, start, stdin=b"", seconds=deadline, check=True)
    return bytes(command.stdout)


def foreground(argv: Sequence[str]) -> int:
    """
    Run *argv* for the person at our terminal, such as an editor; return its status.

    It has the terminal for as long as it likes. Raises CommandMissingError, and
    CommandError for a file that cannot be executed.
    """
    try:
        return subprocess.run(argv, check=False).returncode
    except OSError as error:
        raise _start_error(tuple(argv), error, None) from error


def become(argv: Sequence[str]) -> NoReturn:
    """
    Have *argv* take our place: our terminal, our signals, our exit status.

    Nothing of ours is closed in good order: close it before. Raises
    CommandMissingError, and CommandError for a file that cannot be executed.
    """
    try:
        os.execvp(argv[0], list(argv))  # noqa: S606 -- no shell is what is wanted
    except OSError as error:
        raise _start_error(tuple(argv), error, None) from error


def follow(
    argv: Sequence[str],
    start: Callable[[], subprocess.Popen[bytes]],
    *,
    deadline: float,
    check: bool = True,
) -> Completed:
    """
    Do as `run` for a command that a library starts: *start* returns its process.

    That must lead a session of its own and have pipes for stdout and stderr. *argv*
    is for messages. Raises what `run` raises, and what *start* raises.
    """
    command = _Command(tuple(argv), ends=time.monotonic() + deadline, on_line=None)
    return _run(command, start, stdin=b"", seconds=deadline, check=check)


def kill_all() -> None:
    """
    End every command that still runs, and refuse new ones.

    For shutdown: returns when all have ended, at the latest after twice GRACE. Callers
    of ``run`` get a StoppingError.
    """
    _registry.stop()


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


def _run(
    command: "_Command",
    start: Callable[[], subprocess.Popen[bytes]],
    *,
    stdin: bytes,
    seconds: float,
    check: bool,
) -> Completed:
    with _started(command.argv, start) as process:
        command.follow(process, stdin)
    done = command.completed(process.returncode)
    # The name alone: arguments may hold the token of a URL.
    log.debug("command", command=done.argv[0], status=done.status, seconds=done.seconds)
    _raise_for(done, command, seconds=seconds, check=check)
    return done


@contextlib.contextmanager
def _started(
    argv: tuple[str, ...], start: Callable[[], subprocess.Popen[bytes]]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start *argv*; on the way out nothing of it is left running."""
    if _registry.stopping:
        raise StoppingError(argv[0])
    process = start()
    _registry.add(process.pid)
    try:
        yield process
    finally:
        _end(process)


def _popen(
    argv: tuple[str, ...], cwd: Path | None, env: _Environment, *, stdin: bool
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except ValueError as error:  # a NUL byte, or characters that have no bytes
        message = f"{argv[0]!r} cannot be run with {argv[1:]!r}: {error}"
        raise PermanentError(message) from error
    except OSError as error:
        raise _start_error(argv, error, cwd) from error


def _start_error(
    argv: tuple[str, ...], error: OSError, cwd: Path | None
) -> CommandError | CommandMissingError:
    if cwd is not None and not cwd.is_dir():
        reason = f"cannot run in {cwd}: no such directory"
    elif isinstance(error, FileNotFoundError):
        return CommandMissingError(argv[0])
    else:
        reason = f"cannot be executed: {error.strerror}"
    return CommandError(argv, status=_NOT_EXECUTABLE, stderr=reason)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of *process* and its children, close its pipes and reap it."""
    if not _has_ended(process.pid):
        _registry.signal(process.pid, signal.SIGTERM)
        _wait(process.pid, GRACE)
    # The unreaped leader keeps its number, so this cannot hit a stranger.
    _registry.signal(process.pid, signal.SIGKILL)
    _registry.remove(process.pid)
    for pipe in (process.stdin, process.stdout, process.stderr):
        _close(pipe)
    with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel
        process.wait(GRACE)


def _has_ended(pid: int) -> bool:
    """Say whether *pid* has ended, without reaping it."""
    options = os.WEXITED | os.WNOWAIT | os.WNOHANG
    return os.waitid(os.P_PID, pid, options) is not None


def _wait(pid: int, seconds: float) -> None:
    ends = time.monotonic() + seconds
    pause = 0.0005
    while not _has_ended(pid) and time.monotonic() < ends:
        time.sleep(pause)
        pause = min(2 * pause, _TICK)


def _close(pipe: IO[bytes] | None) -> None:
    with contextlib.suppress(OSError):
        if pipe is not None:
            pipe.close()


# --- follow a command ------------------------------------------------------------


@dataclass(slots=True)
class _Command:
    """One command and what it has printed so far."""

    argv: tuple[str, ...]
    ends: float  # by the monotonic clock
    on_line: Callable[[str], None] | None
    began: float = field(default_factory=time.monotonic)
    stdout: bytearray = field(default_factory=bytearray)
    stderr: "_Ends" = field(default_factory=lambda: _Ends(STDERR_LIMIT))
    line: bytearray = field(default_factory=bytearray)
    timed_out: bool = False
    limit: int = field(default_factory=lambda: STDOUT_LIMIT)

    @property
    def overflown(self) -> bool:
        return len(self.stdout) > self.limit

    def follow(self, process: subprocess.Popen[bytes], stdin: bytes) -> None:
        """Feed and read *process* until it has ended or must be ended."""
        with selectors.DefaultSelector() as selector:
            self._register(selector, process, stdin)
            self._pump(selector, process.pid)
        self._end_line()

    def completed(self, status: int | None) -> Completed:
        """Return what it printed; *status* is None if even SIGKILL did not help."""
        return Completed(
            argv=self.argv,
            status=_KILLED if status is None else status,
            stdout=self.stdout.decode(errors="replace"),
            stderr=self.stderr.text(),
            seconds=time.monotonic() - self.began,
        )

    def _register(
        self,
        selector: selectors.BaseSelector,
        process: subprocess.Popen[bytes],
        stdin: bytes,
    ) -> None:
        for pipe, take in (
            (process.stdout, self.stdout.extend),
            (process.stderr, self._take_stderr),
        ):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, _reader(pipe, take))
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            writer = _writer(process.stdin, stdin)
            selector.register(process.stdin, selectors.EVENT_WRITE, writer)

    def _pump(self, selector: selectors.BaseSelector, pid: int) -> None:
        """Move bytes until the pipes are closed and the command has ended."""
        listen_until = math.inf
        while not self.overflown:
            _move(selector) if selector.get_map() else _wait(pid, _TICK)
            now = time.monotonic()
            if _has_ended(pid):
                # A child that it left behind may hold the pipes for ever.
                listen_until = min(listen_until, now + _DRAIN)
                if not selector.get_map() or now >= listen_until:
                    return
            elif now >= self.ends:
                self.timed_out = True
                return

    def _take_stderr(self, chunk: bytes) -> None:
        self.stderr.add(chunk)
        if self.on_line is None:
            return
        self.line += chunk
        *lines, self.line = self.line.split(b"\n")
        for line in lines:
            self._say(line)
        if len(self.line) > _LINE_LIMIT:
            self._end_line()

    def _end_line(self) -> None:
        """Pass on a last line that has no end."""
        if self.line:
            self._say(self.line)
            self.line = bytearray()

    def _say(self, line: bytearray) -> None:
        if self.on_line is not None:
            self.on_line(line.rstrip(b"\r").decode(errors="replace"))


class _Secret(_Command):
    """A command whose output goes to nobody but the caller of `secret`."""

    @override
    def completed(self, status: int | None) -> Completed:
        """Return how it ended, and nothing that it printed."""
        return Completed(
            argv=self.argv,
            status=_KILLED if status is None else status,
            stdout="",
            stderr="",
            seconds=time.monotonic() - self.began,
        )


def _move(selector: selectors.BaseSelector) -> None:
    """Read and write what is possible now or within a moment."""
    for key, _events in selector.select(_TICK):
        if not key.data():
            selector.unregister(key.fileobj)
            _close(cast("IO[bytes]", key.fileobj))


def _reader(pipe: IO[bytes], take: Callable[[bytes], None]) -> Callable[[], bool]:
    """Return what reads once from *pipe* and says whether there may be more."""

    def read() -> bool:
        chunk = os.read(pipe.fileno(), _CHUNK)
        take(chunk)
        return bool(chunk)

    return read


def _writer(pipe: IO[bytes], data: bytes) -> Callable[[], bool]:
    """Return what writes the next part of *data* and says whether there is more."""
    left = memoryview(data)

    def write() -> bool:
        nonlocal left
        try:
            left = left[os.write(pipe.fileno(), left[:_CHUNK]) :]
        except BlockingIOError:
            return True
        except BrokenPipeError:  # the command does not want the rest
            return False
        return bool(left)

    return write


class _Ends:
    """The beginning and the end of a stream whose length nobody knows."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, chunk: bytes) -> None:
        room = self._half - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:]
        excess = len(self._tail) - self._half
        if excess > self._half:  # not at every chunk, since it moves what stays
            self._drop(excess)

    def text(self) -> str:
        if (excess := len(self._tail) - self._half) > 0:
            self._drop(excess)
        mark = f"\n[… {self._dropped} bytes left out …]\n" if self._dropped else ""
        head, tail = (
            half.decode(errors="replace") for half in (self._head, self._tail)
        )
        return f"{head}{mark}{tail}"

    def _drop(self, excess: int) -> None:
        del self._tail[:excess]
        self._dropped += excess


def _raise_for(
    done: Completed, command: _Command, *, seconds: float, check: bool
) -> None:
    """Raise what *done* calls for, if anything."""
    if command.overflown:
        raise CommandOutputError(done.argv, limit=command.limit, stderr=done.stderr)
    if _registry.stopping and done.status != 0:
        raise StoppingError(done.argv[0])
    if command.timed_out:
        raise CommandTimeoutError(done.argv, seconds=seconds, stderr=done.stderr)
    if check and done.status != 0:
        raise CommandError(done.argv, status=done.status, stderr=done.stderr)
