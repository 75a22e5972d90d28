"""What a command prints: read while it runs, and kept as far as there is room."""

import math
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, cast

from typing_extensions import override

from reconciler.process.running import TICK, close, has_ended, wait

STDOUT_LIMIT = 64 << 20
"""Bytes of stdout; more is an error, since half an answer must not be parsed."""

STDERR_LIMIT = 2 << 20
"""Bytes of stderr that are kept: as many from its beginning as from its end."""

_LINE_LIMIT = 64 << 10
_CHUNK = 64 << 10
_DRAIN = 0.2  # how long we listen for more once a command has ended
_KILLED = -signal.SIGKILL


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A command that ended by itself."""

    argv: tuple[str, ...]
    status: int  # negative: the signal that ended it
    stdout: str
    stderr: str  # its middle is missing where it was longer than STDERR_LIMIT
    seconds: float
    peak: int = 0  # the most bytes of memory that it had; 0: not known


@dataclass(slots=True)
class Command:
    """One command and what it has printed so far."""

    argv: tuple[str, ...]
    ends: float  # by the monotonic clock
    on_line: Callable[[str], None] | None
    quiet: float = math.inf  # seconds that it may say nothing
    both: bool = False  # on_line hears stdout, too
    began: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)  # when it last said anything
    stdout: bytearray = field(default_factory=bytearray)
    stderr: "_Ends" = field(default_factory=lambda: _Ends(STDERR_LIMIT))
    line: bytearray = field(default_factory=bytearray)
    timed_out: bool = False
    fell_silent: bool = False
    limit: int = field(default_factory=lambda: STDOUT_LIMIT)

    @property
    def overflown(self) -> bool:
        """Whether it printed more than it may."""
        return len(self.stdout) > self.limit

    def follow(self, process: subprocess.Popen[bytes], stdin: bytes) -> None:
        """Feed and read *process* until it has ended or must be ended."""
        with selectors.DefaultSelector() as selector:
            self._register(selector, process, stdin)
            self._pump(selector, process.pid)
        self._end_line()

    def completed(self, status: int | None, *, peak: int = 0) -> Completed:
        """Return what it printed; *status* is None if even SIGKILL did not help."""
        return Completed(
            argv=self.argv,
            status=_KILLED if status is None else status,
            stdout=self.stdout.decode(errors="replace"),
            stderr=self.stderr.text(),
            seconds=time.monotonic() - self.began,
            peak=peak,
        )

    def _register(
        self,
        selector: selectors.BaseSelector,
        process: subprocess.Popen[bytes],
        stdin: bytes,
    ) -> None:
        for pipe, take in (
            (process.stdout, self._take_stdout),
            (process.stderr, self._take_stderr),
        ):
            if pipe is not None:
                read = _reader(pipe, self._hearing(take))
                selector.register(pipe, selectors.EVENT_READ, read)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            writer = _writer(process.stdin, stdin)
            selector.register(process.stdin, selectors.EVENT_WRITE, writer)

    def _pump(self, selector: selectors.BaseSelector, pid: int) -> None:
        """Move bytes until the pipes are closed and the command has ended."""
        listen_until = math.inf
        while not self.overflown:
            _move(selector) if selector.get_map() else wait(pid, TICK)
            now = time.monotonic()
            if has_ended(pid):
                # A child that it left behind may hold the pipes for ever.
                listen_until = min(listen_until, now + _DRAIN)
                if not selector.get_map() or now >= listen_until:
                    return
            elif now >= min(self.ends, self.heard + self.quiet):
                self.timed_out = True
                self.fell_silent = now < self.ends
                return

    def _hearing(self, take: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Return *take*, with a note of when something came."""

        def hear(chunk: bytes) -> None:
            self.heard = time.monotonic()
            take(chunk)

        return hear

    def _take_stdout(self, chunk: bytes) -> None:
        self.stdout += chunk
        if self.both:
            self._take_lines(chunk)

    def _take_stderr(self, chunk: bytes) -> None:
        self.stderr.add(chunk)
        self._take_lines(chunk)

    def _take_lines(self, chunk: bytes) -> None:
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


class Secret(Command):
    """A command whose output goes to nobody but the caller of `secret`."""

    @override
    def completed(self, status: int | None, *, peak: int = 0) -> Completed:
        """Return how it ended, and nothing that it printed."""
        return Completed(
            argv=self.argv,
            status=_KILLED if status is None else status,
            stdout="",
            stderr="",
            seconds=time.monotonic() - self.began,
            peak=peak,
        )


def _move(selector: selectors.BaseSelector) -> None:
    """Read and write what is possible now or within a moment."""
    for key, _events in selector.select(TICK):
        if not key.data():
            selector.unregister(key.fileobj)
            close(cast("IO[bytes]", key.fileobj))


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
