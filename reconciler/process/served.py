"""A program behind a socket: one for each connection, as long as a block lasts."""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog

from reconciler.errors import StoppingError
from reconciler.process import running
from reconciler.process.scratch import scratch

CONNECTIONS = 32
"""How often anybody may connect."""

log = structlog.get_logger(__name__)


@contextlib.contextmanager
def served(argv: Sequence[str]) -> Iterator[Path]:
    """
    Give a socket that only our user reaches; who connects speaks to *argv*.

    The program has the connection as stdin and stdout. All have ended afterwards.
    """
    with (
        scratch("socket") as folder,
        socket.socket(socket.AF_UNIX) as listening,
    ):
        path = folder / "socket"
        listening.bind(str(path))
        listening.listen()
        thread = threading.Thread(target=_serve, args=(listening, tuple(argv)))
        thread.start()
        try:
            yield path
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listening: socket.socket, argv: tuple[str, ...]) -> None:
    with contextlib.ExitStack() as programs:
        for _ in range(CONNECTIONS):
            try:
                connection, _peer = listening.accept()
            except OSError:
                return  # shut down
            with connection, contextlib.suppress(StoppingError):
                try:
                    programs.enter_context(_started(argv, connection))
                except OSError as error:
                    log.warning("cannot start", command=argv[0], reason=str(error))


def _started(
    argv: tuple[str, ...], connection: socket.socket
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            stdin=connection.fileno(),
            stdout=connection.fileno(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    return running.started(argv, start)
