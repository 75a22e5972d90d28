"""Deadlines that hold for the whole of a connection, whatever the other side does."""

import contextlib
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Any, Self

ADDRESSES = 8
"""Addresses of a name that are tried; a name may have any number of them."""

_AT_ONCE = struct.pack("ii", 1, 0)


def connect(host: str, port: int, seconds: float) -> socket.socket:
    """Connect to the first address of *host* that answers; *seconds* are for all."""
    ends = time.monotonic() + seconds
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    problem = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in found[:ADDRESSES]:
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError from problem
        tried = socket.socket(family, kind, protocol)
        tried.settimeout(left)
        try:
            tried.connect(address)
        except OSError as error:
            problem = error
            tried.close()
        else:
            return tried
    raise problem


class Cut:
    """Cuts connections that were opened within it, *seconds* after its beginning."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._lock = threading.Lock()
        self._held: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Take what httpx tells of its steps (the extension "trace")."""
        if event == "connection.connect_tcp.complete":
            stream = info["return_value"]
            self._hold(stream.get_extra_info("socket"))

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for held in self._held:
                held.close()
            self._held.clear()

    def _hold(self, opened: socket.socket) -> None:
        # A second descriptor: TLS takes the first one out of its socket.
        with self._lock:
            self._held.append(opened.dup())
        if self.over:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            self.over = True
            for held in self._held:
                with contextlib.suppress(OSError):  # it is closed already
                    # The other side is told at once, also one that only sends.
                    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                    held.shutdown(socket.SHUT_RDWR)
