"""A command that goes on and on, and says lines: who waits costs nothing meanwhile."""

import contextlib
import os
import selectors
import subprocess
from collections.abc import Callable, Sequence

from reconciler.process import running

LINE_LIMIT = 1000
"""Bytes of a line; what is longer is none that anybody waits for."""

_CHUNK = 4096


def listen(
    argv: Sequence[str],
    *,
    stdin: int,
    on_line: Callable[[str], None],
    silence: float,
) -> None:
    """
    Run *argv* until it ends, which its input *stdin* tells it when to do.

    *on_line* is called in this thread with each line of its outputs that is not empty.
    Who says nothing for *silence* seconds, not even an empty line, is ended. Raises
    StoppingError after ``kill_all``, OSError if it cannot be started.
    """

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    with running.started(tuple(argv), start) as process:
        _hear(process, on_line, silence)


def _hear(
    process: subprocess.Popen[bytes], on_line: Callable[[str], None], silence: float
) -> None:
    if process.stdout is None:
        return
    # What it left behind may hold its output for ever.
    ended, said = os.pidfd_open(process.pid), process.stdout.fileno()
    os.set_blocking(said, False)
    partial = b""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        stack.callback(os.close, ended)
        selector.register(ended, selectors.EVENT_READ)
        selector.register(said, selectors.EVENT_READ)
        while ready := {key.fd for key, _ in selector.select(silence)}:
            chunk = _read(said)
            *lines, partial = (partial + (chunk or b"")).split(b"\n")
            partial = partial[:LINE_LIMIT]
            for line in filter(None, lines):
                on_line(line[:LINE_LIMIT].decode(errors="replace"))
            if chunk == b"" or (chunk is None and ended in ready):
                return


def _read(descriptor: int) -> bytes | None:
    """Return what has arrived: nothing at the end, None if there is nothing yet."""
    try:
        return os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return None
