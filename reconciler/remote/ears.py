"""
What hosts say by themselves: one thread hears all of them.

A host's commands have their own threads to wait in. What waits for hours must not have
one for each host: Paramiko wakes us when something arrives, on whichever channel.
"""

import contextlib
import queue
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import fabric
import paramiko
import structlog
from typing_extensions import override

from reconciler.model import HostName
from reconciler.remote.connect import shut
from reconciler.remote.hosts import Hear
from reconciler.remote.session import CHUNK

log = structlog.get_logger(__name__)

SILENT_AFTER = 26.0
"""Seconds without a word after which a host is taken for dead."""
SILENCE_CHECK = 2.0
"""Seconds between two looks for such hosts."""
LINE_LIMIT = 1000
"""Bytes of a line; what is longer is none that anybody waits for."""
SPARE_SESSIONS = 2
"""Sessions that the SSH server must allow besides: looks, and who asks for a plan."""


_OUTER = ("sh", "-c", 'sh -c "$1"; exit $?', "sh")
"""
A shell around the command's own. Who is killed has no exit status, and that alone tells
that a command is over whose output somebody still holds: Paramiko hears no exit-signal.
"""


class _Arrivals:
    """Stands for the event of a buffer: tells whose it is."""

    def __init__(self, ear: "Ear", arrived: "queue.SimpleQueue[Ear | None]") -> None:
        self._ear = ear
        self._arrived = arrived

    def set(self) -> None:
        """Have the ear listened to; a buffer calls this when something arrived."""
        self._arrived.put(self._ear)

    def clear(self) -> None:
        """Do nothing; a buffer calls this when it is empty."""


class _Ending(threading.Event):
    """The event that a command has ended, which its output need not tell."""

    def __init__(self, arrivals: _Arrivals) -> None:
        super().__init__()
        self._arrivals = arrivals

    @override
    def set(self) -> None:
        super().set()
        self._arrivals.set()


@dataclass(eq=False, slots=True, kw_only=True)
class Ear:
    """One command on one host that goes on and on, and says lines."""

    host: HostName
    line: str  # the command
    connection: fabric.Connection
    channel: paramiko.Channel
    hear: Hear
    heard_at: float
    partial: bytes = field(default=b"")

    @property
    def is_over(self) -> bool:
        """Whether no more will come."""
        channel = self.channel
        ended = channel.eof_received or channel.closed or channel.exit_status_ready()
        return bool(ended)

    def lines(self) -> list[str]:
        """Return the whole lines that have arrived."""
        data = self.partial
        while self.channel.recv_ready():
            data += self.channel.recv(CHUNK)
        *whole, rest = data.split(b"\n")
        self.partial = rest[:LINE_LIMIT]
        return [one[:LINE_LIMIT].decode(errors="replace") for one in whole]


class TooFewSessionsError(Exception):
    """The SSH server allows too few sessions in one connection (MaxSessions)."""


class Ears:
    """Those of all hosts, one for each; any thread may call."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._arrived: queue.SimpleQueue[Ear | None] = queue.SimpleQueue()
        self._ears: dict[HostName, Ear] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def has(self, host: HostName, line: str, connection: fabric.Connection) -> bool:
        """Return whether that very command is listened to."""
        with self._lock:
            ear = self._ears.get(host)
        return (
            ear is not None
            and (ear.line, ear.connection) == (line, connection)
            and not ear.is_over
        )

    def open(
        self, host: HostName, line: str, connection: fabric.Connection, hear: Hear
    ) -> None:
        """
        Start the command *line*, and listen to it instead of what there was.

        Raises TooFewSessionsError, and what Paramiko does. Whoever calls bounds the
        time.
        """
        self.close(host)
        channel = _session(connection)
        ear = Ear(
            host=host,
            line=line,
            connection=connection,
            channel=channel,
            hear=hear,
            heard_at=self._clock(),
        )
        arrivals = _Arrivals(ear, self._arrived)
        channel.status_event = _Ending(arrivals)
        channel.set_combine_stderr(True)
        channel.exec_command(shlex.join((*_OUTER, line)))
        with self._lock:
            self._ears[host] = ear
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="ears", daemon=True
                )
                self._thread.start()
        # Last: what has arrived meanwhile is told now.
        channel.in_buffer.set_event(arrivals)

    def close(self, host: HostName) -> None:
        """Listen to *host* no more; the end of its input ends the command."""
        with self._lock:
            ear = self._ears.pop(host, None)
        if ear is not None:
            _close(ear)

    def stop(self) -> None:
        """End the thread; the commands end with their connections."""
        with self._lock:
            self._ears.clear()
        self._arrived.put(None)

    def _run(self) -> None:
        check_at = self._clock() + SILENCE_CHECK
        while True:
            with contextlib.suppress(queue.Empty):
                ear = self._arrived.get(timeout=SILENCE_CHECK)
                if ear is None:
                    return
                self._listen(ear)
            if self._clock() >= check_at:
                self.find_silent()
                check_at = self._clock() + SILENCE_CHECK

    def _listen(self, ear: Ear) -> None:
        """Take what has arrived, and say so; also that it was the last."""
        with self._lock:
            known = self._ears.get(ear.host) is ear
        if not known:
            return
        ear.heard_at = self._clock()
        over = ear.is_over  # before its last words are read
        for line in ear.lines():
            if line:
                self._tell(ear, line)
        if over:
            self._end(ear)

    def find_silent(self) -> None:
        """Close the connections of hosts that have said nothing for too long."""
        give_up = self._clock() - SILENT_AFTER
        with self._lock:
            silent = [ear for ear in self._ears.values() if ear.heard_at < give_up]
        for ear in silent:
            log.info("host has gone silent", host=ear.host)
            # Not by Paramiko, which might wait for the host to take a good-bye.
            shut(ear.connection.transport.sock)
            self._end(ear)

    def _end(self, ear: Ear) -> None:
        with self._lock:
            if self._ears.get(ear.host) is not ear:
                return
            del self._ears[ear.host]
        _close(ear)
        self._tell(ear, None)

    def _tell(self, ear: Ear, line: str | None) -> None:
        try:
            ear.hear(line)
        except Exception:
            # A bug must cost one word of one host, not the thread.
            log.exception("hearing a host failed", host=ear.host)


def _session(connection: fabric.Connection) -> paramiko.Channel:
    """Return a session, if others can be had beside it."""
    channel = connection.create_session()
    try:
        with contextlib.ExitStack() as spare:
            for _ in range(SPARE_SESSIONS):
                spare.enter_context(connection.create_session())
    except paramiko.ChannelException as error:
        channel.close()
        raise TooFewSessionsError from error
    return channel


def _close(ear: Ear) -> None:
    with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
        ear.channel.close()
