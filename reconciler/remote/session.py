"""
Running one command over an open connection.

Fabric's ``run`` is left out on purpose: invoke's Runner starts three threads for each
command, looks for output every 10 ms, and its timeout leaves the command running.
The transport's channels wake us when something arrives.
"""

import os
import re
import shlex
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

import paramiko

from reconciler.model import Target
from reconciler.remote.hosts import OnLine, RemoteResult

GRACE = 2.0
"""Seconds we wait beyond the far side's deadline, which the host may fail to keep."""
KILL_AFTER = 1.0
"""Seconds after SIGTERM until ``timeout`` sends SIGKILL."""
TIMED_OUT = frozenset({124, 137, -1})
"""How timeout(1) ends after its signal; after SIGKILL; or with that SIGKILL itself."""
LINGER = 1.0
"""Seconds to wait for output once the command has ended.

A daemon that it left behind may hold the pipes open for ever.
"""
OUTPUT_LIMIT = 16 * 1024 * 1024
CHUNK = 32 * 1024
SEND_PAUSE = 0.05
RUN_STDIN = 'eval "$(cat)"'
"""Read a script to its end, then run it with an empty standard input."""


class OutputLimitError(Exception):
    """A command printed more than anybody can want."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command line for a host's login shell, and what goes with it."""

    line: str
    stdin: bytes = b""
    on_line: OnLine | None = None


def script_command(script: str, target: Target, *, deadline: float) -> Command:
    """
    Return the command that runs the sh *script* as root for *deadline* seconds.

    The script goes through standard input: an argument has a limit of 128 kB on
    Linux, and login shells do not agree on quoting.
    """
    argv = ("sh", "-c", RUN_STDIN)
    return Command(line=_line(argv, target, deadline), stdin=script.encode())


def lasting_line(script: str, target: Target) -> str:
    """
    Return the command line that runs the sh *script* as root for as long as it likes.

    Its standard input is what tells it when to end, so the script is an argument.
    """
    return _root_line(("sh", "-c", script), target)


def argv_command(
    argv: Sequence[str],
    target: Target,
    *,
    deadline: float,
    stdin: bytes | None,
    on_line: OnLine | None,
) -> Command:
    """Return the command that runs *argv* as root for *deadline* seconds."""
    line = _line(argv, target, deadline)
    return Command(line=line, stdin=stdin or b"", on_line=on_line)


def _line(argv: Sequence[str], target: Target, deadline: float) -> str:
    return " ".join(map(quote, bounded_words(argv, target, deadline)))


def bounded_words(
    argv: Sequence[str], target: Target, deadline: float
) -> tuple[str, ...]:
    """Return the words that run *argv* as root for *deadline* seconds."""
    # Inside the escalation: an unprivileged timeout(1) could not kill root's process.
    bound = ("timeout", "-k", f"{KILL_AFTER:g}", f"{deadline:.3f}")
    return (*become_root(target), *bound, *argv)


def become_root(target: Target) -> tuple[str, ...]:
    """Return what to put before a command on *target* so that root runs it."""
    is_root = os.geteuid() == 0 if target.local else target.user == "root"
    return () if is_root else _described(target.escalation)


def _described(escalation: tuple[str, ...]) -> tuple[str, ...]:
    """Have run0, whose commands are units, not log each whole command as its name."""
    program, *rest = escalation
    if PurePath(program).name != "run0":
        return escalation
    return (program, "--description=reconciler", *rest)


def _root_line(argv: Sequence[str], target: Target) -> str:
    return " ".join(map(quote, (*become_root(target), *argv)))


def quote(word: str) -> str:
    """
    Quote *word* for the login shell, be it a POSIX shell or fish.

    Between single quotes fish gives backslashes a meaning, so they go between
    double quotes.
    """
    if "\\" not in word:
        return shlex.quote(word)
    return "".join(
        f'"{part * 2}"' if part == "\\" else shlex.quote(part)
        for part in re.split(r"(\\)", word)
        if part
    )


class _Wake:
    """An event for two buffers, each of which would clear it for the other."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Wake the one who waits; a buffer calls this when something arrived."""
        self._event.set()

    def clear(self) -> None:
        """Do nothing; a buffer calls this when it is empty: the other may not be."""

    def wait(self, seconds: float) -> bool:
        """Wait until something arrives; return whether it did."""
        arrived = self._event.wait(seconds)
        self._event.clear()
        return arrived


@dataclass(slots=True)
class _Output:
    """Both outputs of one command while they arrive."""

    on_line: OnLine | None
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    partial: bytes = b""

    def drain(self, channel: paramiko.Channel) -> None:
        """Take what has arrived."""
        while channel.recv_ready():
            self._take(self.stdout, channel.recv(CHUNK))
        while channel.recv_stderr_ready():
            self._take(self.stderr, channel.recv_stderr(CHUNK))

    def _take(self, buffer: bytearray, data: bytes) -> None:
        buffer += data
        if len(self.stdout) + len(self.stderr) > OUTPUT_LIMIT:
            raise OutputLimitError
        if self.on_line is not None:
            *lines, self.partial = (self.partial + data).split(b"\n")
            for line in lines:
                self.on_line(_text(line))

    def finish(self) -> None:
        """Hand over a last line without its newline."""
        if self.on_line is not None and self.partial:
            self.on_line(_text(self.partial))


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", errors="replace")


def execute(channel: paramiko.Channel, command: Command) -> RemoteResult | None:
    """
    Run *command* on a fresh *channel*; None if the connection broke meanwhile.

    Whoever calls bounds the time, by closing the connection.
    """
    began = time.monotonic()
    wake, output = _Wake(), _Output(command.on_line)
    channel.in_buffer.set_event(wake)
    channel.in_stderr_buffer.set_event(wake)
    channel.exec_command(command.line)
    _send(channel, command.stdin, output)
    _collect(channel, wake, output)
    if not channel.transport.is_active() and not channel.eof_received:
        return None
    return RemoteResult(
        status=channel.exit_status,
        stdout=_text(output.stdout),
        stderr=_text(output.stderr),
        seconds=time.monotonic() - began,
    )


def _send(channel: paramiko.Channel, data: bytes, output: _Output) -> None:
    """Send *data* and end of file, taking output so that neither side blocks."""
    rest = memoryview(data)
    channel.settimeout(SEND_PAUSE)
    try:
        while rest and not channel.exit_status_ready():
            try:
                rest = rest[channel.send(rest[:CHUNK]) :]
            except TimeoutError:
                output.drain(channel)
        channel.shutdown_write()
    except OSError:
        return  # it ended without reading everything, which its status will tell


def _collect(channel: paramiko.Channel, wake: _Wake, output: _Output) -> None:
    """Take output until the command has ended and closed it."""
    while not channel.eof_received and not channel.closed:
        arrived = wake.wait(LINGER)
        output.drain(channel)
        if not arrived and channel.exit_status_ready():
            break
    channel.status_event.wait()
    output.drain(channel)
    output.finish()
