"""The connection to one host: kept open between commands, made anew if it breaks."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable

import fabric
import paramiko
import structlog

from reconciler.errors import ConnectError, RemoteError, RemoteTimeoutError
from reconciler.model import HostName, Target
from reconciler.remote import session
from reconciler.remote.connect import bounded, shut
from reconciler.remote.ears import Ears, TooFewSessionsError
from reconciler.remote.hosts import Hear, RemoteResult

log = structlog.get_logger(__name__)

LISTEN_SECONDS = 10.0
"""How long a host may take to begin with what is to be listened to."""

LATE = 64
"""Commands after which nothing comes any more that belongs to an earlier one."""


class Link:
    """The connection to one host, or the lack of one."""

    def __init__(
        self,
        host: HostName,
        target: Target,
        opener: Callable[[float], fabric.Connection],
    ) -> None:
        self.host = host
        self.target = target
        self._opener = opener
        self._opening = threading.Lock()
        self._connection: fabric.Connection | None = None
        self._past: deque[int] = deque()  # the channels of the last commands

    @property
    def lost(self) -> bool:
        """Whether there was a connection and it has ended."""
        connection = self._connection
        return connection is not None and not connection.is_connected

    def drop(self) -> None:
        """Close the connection; commands that use it fail."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _close(connection)

    def execute(
        self, command: session.Command, *, what: str, deadline: float, again: bool
    ) -> RemoteResult:
        """
        Run *command*, over a new connection if the kept one turns out dead.

        That second try is made only where *again* says that it does no harm.
        """
        end = time.monotonic() + deadline + session.GRACE
        kept = self._connection
        try:
            return self._execute(command, what=what, deadline=deadline, end=end)
        except ConnectError:
            if not again or kept is None or self._connection is not None:
                raise
        return self._execute(command, what=what, deadline=deadline, end=end)

    def _execute(
        self, command: session.Command, *, what: str, deadline: float, end: float
    ) -> RemoteResult:
        connection = self._open(end - time.monotonic())
        with bounded(end - time.monotonic(), lambda: self._abandon(connection)) as late:
            result = self._over(connection, command, what)
        if late.is_set():
            raise RemoteTimeoutError(what, host=self.host, seconds=deadline)
        if result is None:
            self._abandon(connection)
            message = f"{self.host}: the connection broke during {what}"
            raise ConnectError(message, host=self.host)
        log.debug("remote", host=self.host, what=what, seconds=result.seconds)
        if result.status in session.TIMED_OUT and result.seconds >= deadline:
            raise RemoteTimeoutError(what, host=self.host, seconds=deadline)
        return result

    def listen(self, ears: Ears, script: str, hear: Hear) -> bool:
        """Have *script* run over this connection; return whether it is new."""
        what, line = "listening", session.lasting_line(script, self.target)
        connection = self._open(LISTEN_SECONDS)
        if ears.has(self.host, line, connection):
            return False
        late = threading.Event()
        try:
            with bounded(LISTEN_SECONDS, lambda: self._abandon(connection)) as late:
                ears.open(self.host, line, connection, hear)
        except TooFewSessionsError as error:
            stderr = str(TooFewSessionsError.__doc__)
            raise RemoteError(what, host=self.host, status=-1, stderr=stderr) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            if late.is_set():
                seconds = LISTEN_SECONDS
                raise RemoteTimeoutError(
                    what, host=self.host, seconds=seconds
                ) from error
            message = f"{self.host}: the connection broke during {what}"
            raise ConnectError(message, host=self.host) from error
        return True

    def _over(
        self, connection: fabric.Connection, command: session.Command, what: str
    ) -> RemoteResult | None:
        """Run *command* over *connection*; None if that broke."""
        try:
            with connection.create_session() as channel:
                result = session.execute(channel, command)
        except session.OutputLimitError as error:
            stderr = f"it printed more than {session.OUTPUT_LIMIT} bytes"
            raise RemoteError(what, host=self.host, status=-1, stderr=stderr) from error
        except (paramiko.SSHException, EOFError, OSError):
            return None
        self._forget_old(connection, channel.get_id())
        return result

    def _forget_old(self, connection: fabric.Connection, last: int) -> None:
        """
        Forget a channel of long ago.

        Paramiko keeps the number of each for as long as the connection lasts, so that
        it knows what comes late: a hundred megabytes a day for a thousand hosts.
        """
        past = self._past
        if connection is self._connection:
            past.append(last)
        if len(past) > LATE:
            connection.transport.channels_seen.pop(past.popleft(), None)

    def _open(self, seconds: float) -> fabric.Connection:
        with self._opening:
            connection = self._connection
            if connection is None or not connection.is_connected:
                self.drop()
                self._past = deque()
                connection = self._connection = self._opener(seconds)
            return connection

    def _abandon(self, connection: fabric.Connection) -> None:
        """Close *connection*, and let go of it if it is still the one in use."""
        if self._connection is connection:
            self._connection = None
        _close(connection)


def _close(connection: fabric.Connection) -> None:
    transport = connection.transport
    with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
        shut(transport.sock)
        connection.client.close()
