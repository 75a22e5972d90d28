"""uvicorn in a thread: takes no signals, writes no access log, ends when told."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING

from reconciler import local_socket
from reconciler.errors import SettingsError, StateError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import uvicorn
    from fastapi import FastAPI

START_SECONDS = 10.0
"""How long the server may take until it answers."""

STOP_SECONDS = 2
"""How long requests under way may take at the end."""

_BACKLOG = 128
_HIGHEST_PORT = 65535


class Server:
    """
    Serves an application at *listen*, ``host:port`` or ``[address]:port``.

    The host may be left out, which means every address of the machine. Port 0 is any
    free one; `address` says which.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        listen: str,
        proxies: Sequence[str] = (),
        local: Path | None = None,
    ) -> None:
        """
        Take whose ``X-Forwarded-For`` is believed: addresses and networks.

        *local* is where to listen besides for our own user, in the file system.
        """
        self._app = app
        self._listen = listen
        self._proxies = list(proxies)
        self._local = local
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that are listened at, once started."""
        if self._socket is None:
            message = "the server is not started"
            raise RuntimeError(message)
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def problem(self) -> str:
        """Return why nothing is served; empty while something is."""
        if self._thread is None:
            return "the HTTP server is not started"
        return "" if self._thread.is_alive() else "the HTTP server has ended"

    def start(self) -> None:
        """
        Listen, and return as soon as requests are answered.

        Raises SettingsError, naming ``http.listen``, when that is no address or cannot
        be listened at; StateError when the socket in the file system cannot be made.
        """
        self._socket = _bind(self._listen)
        server = self._server = _make(self._app, self._proxies)
        sockets = [self._socket]
        if self._local is not None:
            try:
                sockets.append(local_socket.bind(self._local))
            except StateError:
                self.stop()
                raise
        self._thread = threading.Thread(
            target=server.run, args=(sockets,), name="http", daemon=True
        )
        self._thread.start()
        self._await_start(server, self._thread)

    def stop(self) -> None:
        """Stop listening, give requests under way a moment, and end the thread."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(STOP_SECONDS + START_SECONDS)
        if self._socket is not None:
            self._socket.close()
            if self._local is not None:
                self._local.unlink(missing_ok=True)
        self._socket = self._server = self._thread = None

    def _await_start(self, server: uvicorn.Server, thread: threading.Thread) -> None:
        give_up = time.monotonic() + START_SECONDS
        while not server.started:
            # uvicorn offers nothing to wait on.
            thread.join(0.005)
            if not thread.is_alive() or time.monotonic() > give_up:
                self.stop()
                message = f"the HTTP server at {self._listen} did not start"
                raise RuntimeError(message)


def _make(app: FastAPI, proxies: list[str]) -> uvicorn.Server:
    import uvicorn  # noqa: PLC0415 # large: only where something is served

    from reconciler.web.protocol import CONNECTIONS, Protocol  # noqa: PLC0415 # so too

    return uvicorn.Server(
        uvicorn.Config(
            app,
            loop="asyncio",
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,  # its errors go where all logs go
            log_level="error",  # anybody can cause its warnings
            access_log=False,
            server_header=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=proxies,
            limit_concurrency=CONNECTIONS + 1,
            backlog=_BACKLOG,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )


def _bind(listen: str) -> socket.socket:
    host, port = _split(listen)
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        message = f"http.listen: cannot listen at {listen}: {_reason(error)}"
        raise SettingsError(message) from error
    # Connections inherit it. asyncio sets it only where it knows the protocol, and
    # else the second packet of each answer waits 40 ms for the first one's receipt.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound


def _reason(error: OSError) -> str:
    # The socket module adds the address to its errors, and we name it already; but the
    # resolver's numbers, below zero, are not the system's.
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror)


def _split(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host == f"[{bare}]"
    if not colon or (":" in bare and not bracketed) or not _is_port(port):
        message = f"http.listen: {listen!r} is not host:port or [address]:port"
        raise SettingsError(message)
    return bare, int(port)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) <= _HIGHEST_PORT
