"""A forge that serves a repository over plain HTTP, unless it sends us away."""

import contextlib
import functools
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from typing_extensions import override

from tests.support.rig import git


class Forge:
    """Serves a bare repository as files, which every git can read."""

    def __init__(self, bare: Path) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []  # before it is served
        self.asked: list[float] = []  # when, by the monotonic clock
        self._bare = bare
        handler = functools.partial(_Handler, self, bare)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def serve(self) -> None:
        """Answer until `close`."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, forge: Forge, bare: Path, *args: object) -> None:
        self._forge = forge
        self._bare = bare
        super().__init__(*args, directory=str(bare))  # type: ignore[arg-type]

    @override
    def do_GET(self) -> None:
        """Answer as the test wants it, else with a file."""
        if self.path.startswith("/info/refs"):
            git("-C", str(self._bare), "update-server-info")
            self._forge.asked.append(time.monotonic())
            if self._forge.answers:
                self._refuse(*self._forge.answers.pop(0))
                return
        super().do_GET()

    def _refuse(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def forge(bare: Path) -> Iterator[Forge]:
    """Serve a bare repository for the length of the body."""
    one = Forge(bare)
    one.serve()
    try:
        yield one
    finally:
        one.close()
