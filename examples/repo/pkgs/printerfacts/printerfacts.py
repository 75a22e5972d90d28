#!/usr/bin/env python3
"""
Facts about printers over HTTP.

``GET /`` is a page for people, ``/fact`` one fact as plain text, ``/healthz`` says ok
while the program serves, ``/metrics`` is for Prometheus.
"""

from __future__ import annotations

import argparse
import html
import random
import signal
import socket
import sys
import threading
import time
from collections import Counter
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "1.2.0"

CLIENT_TIMEOUT = 10.0  # seconds of silence after which a client is dropped

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Printer facts</title></head>
<body>
<h1>Did you know?</h1>
<p>{fact}</p>
<p><a href="/">Another one</a> · <a href="/fact">as plain text</a></p>
</body>
</html>
"""

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class Facts:
    """The facts and the count of those told; safe to use from many threads."""

    def __init__(self, facts: tuple[str, ...]) -> None:
        self.all = facts
        self.told = 0
        self._lock = threading.Lock()

    @classmethod
    def read(cls, path: Path) -> Facts:
        """Return the facts in the file *path*; raise `OSError` or `ValueError`."""
        lines = path.read_text(encoding="utf-8").splitlines()
        facts = tuple(
            line.strip() for line in lines if line.strip()[:1] not in ("", "#")
        )
        if not facts:
            message = f"{path} holds no facts"
            raise ValueError(message)
        return cls(facts)

    def tell(self) -> str:
        """Return any fact, and count it."""
        with self._lock:
            self.told += 1
        return random.choice(self.all)  # noqa: S311


class Requests:
    """How many requests were answered, by path and status."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._lock = threading.Lock()
        # Every series is there from the start, so that rates are right from the start.
        self._counts = Counter({(path, HTTPStatus.OK.value): 0 for path in paths})

    def count(self, path: str, status: int) -> None:
        """Count one answer."""
        with self._lock:
            self._counts[path, status] += 1

    def rows(self) -> list[tuple[str, int, int]]:
        """Return path, status and count of each series, in order."""
        with self._lock:
            return sorted((*key, count) for key, count in self._counts.items())


class Server(ThreadingHTTPServer):
    """The HTTP server with what its handlers share."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: str, port: int, facts: Facts) -> None:
        found = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        self.address_family, _, _, _, found_address = found[0]
        self.facts = facts
        self.started = time.time()
        self.requests = Requests(tuple(Handler.routes))
        super().__init__((str(found_address[0]), port), Handler)

    @property
    def port(self) -> int:
        """The port that was bound: another than was asked for if that was 0."""
        return int(self.server_address[1])

    def server_bind(self) -> None:
        """Bind as TCP servers do: HTTPServer's own looks our name up in the DNS."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.port


def render_metrics(server: Server) -> str:
    """Return the metrics in Prometheus's text format."""
    rows = "\n".join(
        f'printerfacts_requests_total{{path="{path}",code="{status}"}} {count}'
        for path, status, count in server.requests.rows()
    )
    return f"""\
# HELP printerfacts_build_info The running version.
# TYPE printerfacts_build_info gauge
printerfacts_build_info{{version="{VERSION}"}} 1
# HELP printerfacts_start_time_seconds When the program started, in Unix time.
# TYPE printerfacts_start_time_seconds gauge
printerfacts_start_time_seconds {server.started:.3f}
# HELP printerfacts_facts The facts known.
# TYPE printerfacts_facts gauge
printerfacts_facts {len(server.facts.all)}
# HELP printerfacts_facts_told_total The facts told.
# TYPE printerfacts_facts_told_total counter
printerfacts_facts_told_total {server.facts.told}
# HELP printerfacts_requests_total The requests answered.
# TYPE printerfacts_requests_total counter
{rows}
"""


Answer = tuple[str, str]  # content type and body


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server  # type: ignore[mutable-override]  # no other server uses it
    server_version = f"printerfacts/{VERSION}"
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float | None] = CLIENT_TIMEOUT

    def do_GET(self) -> None:
        """Answer with what the path names."""
        route = self.routes.get(self._page_asked_for())
        if route is None:
            self._answer(HTTPStatus.NOT_FOUND, TEXT, "No such page.\n")
        else:
            self._answer(HTTPStatus.OK, *route(self))

    do_HEAD = do_GET  # noqa: N815 (the name that http.server calls)

    def _page_asked_for(self) -> str:
        # A request that could not be parsed has no path.
        return urlsplit(getattr(self, "path", "")).path

    def _answer(self, status: HTTPStatus, kind: str, body: str) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _page(self) -> Answer:
        return HTML, PAGE.format(fact=html.escape(self.server.facts.tell()))

    def _fact(self) -> Answer:
        return TEXT, self.server.facts.tell() + "\n"

    def _health(self) -> Answer:
        return TEXT, "ok\n"

    def _metrics(self) -> Answer:
        return EXPOSITION, render_metrics(self.server)

    routes: ClassVar[dict[str, Callable[[Handler], Answer]]] = {
        "/": _page,
        "/fact": _fact,
        "/healthz": _health,
        "/metrics": _metrics,
    }

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Count and log an answer; http.server calls it for its own errors too."""
        page = self._page_asked_for()
        self.server.requests.count(page if page in self.routes else "other", int(code))
        super().log_request(int(code), size)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Log to stdout, in one piece; the journal adds the time."""
        print(f"{self.address_string()} {format % args}", flush=True)


def serve(address: str, port: int, facts: Facts) -> None:
    """Serve until SIGTERM or SIGINT; raise `OSError` if the address cannot be had."""
    with Server(address, port, facts) as server:

        def stop(_number: int, _frame: object) -> None:
            # From another thread: shutdown() waits for serve_forever(), which is here.
            threading.Thread(target=server.shutdown).start()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        print(
            f"printerfacts {VERSION} listens on {server.server_name} "
            f"port {server.port}",
            flush=True,
        )
        server.serve_forever(poll_interval=0.1)
    print("goodbye", flush=True)


def main() -> int:
    """Read the command line and serve; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="printerfacts", description="Facts about printers over HTTP."
    )
    parser.add_argument("--version", action="version", version=VERSION)
    parser.add_argument("--address", default="localhost", help="host name or address")
    parser.add_argument("--port", type=int, default=8627, help="TCP port")
    parser.add_argument("--facts", type=Path, required=True, help="one to a line")
    arguments = parser.parse_args()
    try:
        serve(arguments.address, arguments.port, Facts.read(arguments.facts))
    except (OSError, ValueError, OverflowError) as error:
        print(f"printerfacts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
