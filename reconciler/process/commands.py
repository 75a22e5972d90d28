"""The ways to start a command and to have it end."""

import contextlib
import math
import os
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import structlog

from reconciler.errors import (
    CommandError,
    CommandMissingError,
    CommandOutputError,
    CommandSilentError,
    CommandTimeoutError,
    PermanentError,
    StoppingError,
)
from reconciler.process import running
from reconciler.process.output import Command, Completed, Secret

_NOT_EXECUTABLE = 126  # what a shell reports for a file that it cannot execute

log = structlog.get_logger(__name__)

_Environment = Mapping[str, str] | None


def run(  # noqa: PLR0913 -- the one door to every local command
    argv: Sequence[str],
    *,
    deadline: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
    memory: int | None = None,
    told_as: Sequence[str] = (),
    both: bool = False,
) -> Completed:
    """
    Run *argv* to its end, for at most *deadline* seconds, and return its output.

    *env* is added to our own environment. Without *stdin* the command reads from
    /dev/null. *on_line* is called in this thread with each line of stderr as it comes,
    and of stdout if *both*.
    Output is decoded as UTF-8, and what is none is replaced. Whatever the command left
    running in its session is killed. None of its processes gets more than *memory*
    bytes. Messages call it *told_as*, where others are put before the command proper.

    Raises CommandError for a status that is not 0 if *check*, and for a file that
    cannot be executed; CommandTimeoutError at the deadline; CommandOutputError for
    more than STDOUT_LIMIT bytes on stdout; CommandMissingError; StoppingError after
    ``kill_all``; PermanentError for an argument that no command can be given.
    """

    def start() -> subprocess.Popen[bytes]:
        process = _popen(tuple(argv), cwd, env, stdin=stdin is not None)
        if memory is not None:
            _limit_memory(process.pid, memory)
        return process

    said = tuple(told_as) or tuple(argv)
    command = Command(said, ends=time.monotonic() + deadline, on_line=on_line)
    command.both = both
    return _run(command, start, stdin=stdin or b"", seconds=deadline, check=check)


def secret(  # noqa: PLR0913 -- as `run`
    argv: Sequence[str],
    *,
    deadline: float,
    limit: int,
    cwd: Path | None = None,
    on_line: Callable[[str], None] | None = None,
    on_peak: Callable[[int], None] = lambda _bytes: None,
    memory: int | None = None,
) -> bytes:
    """
    Run *argv* as `run` does and return its stdout as it is, at most *limit* bytes.

    *on_peak* hears how much memory it took.

    For commands whose output is a secret: no error holds any of it, nor of stderr,
    which only *on_line* hears. Raises what `run` raises.
    """

    def start() -> subprocess.Popen[bytes]:
        process = _popen(tuple(argv), cwd, None, stdin=False)
        if memory is not None:
            _limit_memory(process.pid, memory)
        return process

    ends = time.monotonic() + deadline
    command = Secret(tuple(argv), ends=ends, on_line=on_line, limit=limit)
    done = _run(command, start, stdin=b"", seconds=deadline, check=True)
    on_peak(done.peak)
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
    silence: float | None = None,
    check: bool = True,
) -> Completed:
    """
    Do as `run` for a command that a library starts: *start* returns its process.

    It is ended too when it says nothing for *silence* seconds. It must lead a session
    of its own and have pipes for stdout and stderr. *argv* is for messages. Raises what
    `run` raises, CommandSilentError, and what *start* raises.
    """
    command = Command(tuple(argv), ends=time.monotonic() + deadline, on_line=None)
    command.quiet = math.inf if silence is None else silence
    return _run(command, start, stdin=b"", seconds=deadline, check=check)


def _run(
    command: Command,
    start: Callable[[], subprocess.Popen[bytes]],
    *,
    stdin: bytes,
    seconds: float,
    check: bool,
) -> Completed:
    with running.started(command.argv, start) as process:
        command.follow(process, stdin)
    done = command.completed(process.returncode, peak=running.peak_of(process))
    # The name alone: arguments may hold the token of a URL.
    log.debug("command", command=done.argv[0], status=done.status, seconds=done.seconds)
    _raise_for(done, command, seconds=seconds, check=check)
    return done


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


def _limit_memory(pid: int, limit: int) -> None:
    # From here, since between fork and exec no Python may run: it is there long before
    # a program has read what others sent it.
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))


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


def _raise_for(
    done: Completed, command: Command, *, seconds: float, check: bool
) -> None:
    """Raise what *done* calls for, if anything."""
    if command.overflown:
        raise CommandOutputError(done.argv, limit=command.limit, stderr=done.stderr)
    if running.is_stopping() and done.status != 0:
        raise StoppingError(done.argv[0])
    if command.fell_silent:
        seconds, stderr = command.quiet, done.stderr
        raise CommandSilentError(done.argv, seconds=seconds, stderr=stderr)
    if command.timed_out:
        raise CommandTimeoutError(done.argv, seconds=seconds, stderr=done.stderr)
    if check and done.status != 0:
        raise CommandError(done.argv, status=done.status, stderr=done.stderr)
