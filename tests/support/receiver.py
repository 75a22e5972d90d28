"""
A real HTTP server on the loopback that writes down what it is sent.

    with Receiver() as receiver:
        tell(f"json://127.0.0.1:{receiver.port}/")
        receiver.wait_for(1)
        assert receiver.deliveries[0].json["title"] == "…"
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from typing_extensions import override

from tests.support.wait import wait_until

SOON = 60.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answers."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request, as it came."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 -- as json.loads
        """The body."""
        return json.loads(self.body)


class Receiver:
    """Answers the replies that it was given, one after the other, and then 200."""

    def __init__(self, *replies: Reply, port: int = 0) -> None:
        self.deliveries: list[Delivery] = []
        self.replies = list(replies)
        self.answering = threading.Event()  # requests wait for it
        self.answering.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.answering.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, delivery: Delivery) -> Reply:
        """Write down a request and return what to answer."""
        self.deliveries.append(delivery)
        self.answering.wait(SOON)
        return self.replies.pop(0) if self.replies else Reply()

    def wait_for(self, count: int) -> list[Delivery]:
        """Wait until so many requests came; return all."""
        wait_until(lambda: len(self.deliveries) >= count, SOON, f"{count} deliveries")
        return self.deliveries

    @property
    def titles(self) -> list[str]:
        """The titles of what Apprise sent to a ``json://`` target."""
        return [one.json["title"] for one in self.deliveries]


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = SOON

        def do_POST(self) -> None:
            """Take a request and answer it."""
            length = int(self.headers.get("Content-Length", "0"))
            reply = receiver.answer(
                Delivery(
                    method=self.command,
                    path=self.path,
                    headers={k.lower(): value for k, value in self.headers.items()},
                    body=self.rfile.read(length),
                )
            )
            content = reply.body.encode()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815 -- as the class has them

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
