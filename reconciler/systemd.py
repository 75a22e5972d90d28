"""
What systemd is told of the daemon: that it is ready, that it lives, how it goes.

The other side is `Type=notify` and `WatchdogSec=` of ``deploy/systemd``; sd_notify(3)
has the protocol: one datagram of ``NAME=value`` lines to the socket that
``NOTIFY_SOCKET`` names. Without that variable nobody listens, and nothing is sent.
"""

import socket
import threading
from collections.abc import Callable, MutableMapping
from types import TracebackType
from typing import Self

import structlog

log = structlog.get_logger(__name__)

BEAT = 5.0
"""Seconds between two status lines, and at most between two signs of life."""

BEATS_PER_WATCHDOG = 3
"""So that one late beat costs nothing."""

STATUS_LIMIT = 200
"""Characters of the status line: `systemctl status` has one line for it."""

_SEND_SECONDS = 1.0  # systemd reads at once, unless the machine is in great trouble
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """
    The way to systemd. Any thread may call any method; none of them raises.

    *address* is a path, or ``@name`` for a socket in the abstract namespace; *watchdog*
    the seconds after which systemd misses a sign of life, None if it does not look.
    """

    def __init__(self, address: str = "", *, watchdog: float | None = None) -> None:
        self.watchdog = watchdog
        self._address = _socket_address(address)
        self._lost = False

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str], pid: int) -> Self:
        """
        Return the way that *environment* names for the process *pid*.

        Takes the variables away: what we start is not who systemd listens to.
        """
        address, usec, watched = (environment.pop(name, "") for name in _VARIABLES)
        watchdog = None
        if usec.isdecimal() and int(usec) and watched in ("", str(pid)):
            watchdog = int(usec) / 1e6
        return cls(address, watchdog=watchdog)

    @property
    def connected(self) -> bool:
        """Whether somebody listens."""
        return self._address is not None

    def send(self, **values: str | int) -> None:
        """Send one message; a failure is logged, once until it works again."""
        if self._address is None:
            return
        lines = (f"{name}={_one_line(str(value))}" for name, value in values.items())
        message = "\n".join(lines).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_SEND_SECONDS)
                sender.sendto(message, self._address)
        except OSError as error:
            if not self._lost:
                log.warning("systemd cannot be told how we are", error=str(error))
            self._lost = True
        else:
            self._lost = False


class Pulse:
    """
    Tells systemd how the daemon is, from `start` until `stop`.

    *problem* returns why the daemon is not healthy, empty while it is; *summary* a
    short line for people. A sign of life is sent only while there is no problem, so
    that systemd's watchdog restarts a daemon that no longer does its work; the first
    one also says that the daemon is ready.
    """

    def __init__(
        self,
        notifier: Notifier,
        *,
        problem: Callable[[], str],
        summary: Callable[[], str],
    ) -> None:
        self._notifier = notifier
        self._problem = problem
        self._summary = summary
        self._ready = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Say that the daemon is ready, if it is, and go on telling how it is."""
        if self._notifier.connected:
            self._beat()
            self._thread.start()

    def stop(self) -> None:
        """Say that the daemon is about to end, and tell nothing more."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(BEAT)
        self._notifier.send(STOPPING=1, STATUS="stopping: waiting for running attempts")

    def _run(self) -> None:
        watchdog = self._notifier.watchdog
        wait = min(BEAT, watchdog / BEATS_PER_WATCHDOG) if watchdog else BEAT
        while not self._stopping.wait(wait):
            try:
                self._beat()
            except Exception:
                # Then the next beat may work; if none does, the watchdog sees to it.
                log.exception("cannot tell how the daemon is")

    def _beat(self) -> None:
        if problem := self._problem():
            self._notifier.send(STATUS=f"failing: {problem}")
            return
        if self._ready:
            # Before the summary, which asks the database.
            self._notifier.send(WATCHDOG=1)
            self._notifier.send(STATUS=self._summary())
        else:
            self._ready = True
            self._notifier.send(READY=1, WATCHDOG=1, STATUS=self._summary())


def _socket_address(text: str) -> str | bytes | None:
    if text.startswith("/"):
        return text
    if text.startswith("@"):
        return b"\0" + text[1:].encode()
    if text:  # such as vsock:, by which a virtual machine tells its host
        log.warning("cannot reach the socket that NOTIFY_SOCKET names", address=text)
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:STATUS_LIMIT]
