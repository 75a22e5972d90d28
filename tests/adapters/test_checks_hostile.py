"""Servers that never come to an end, and health checks that do."""

import contextlib
import itertools
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from reconciler.model import CheckKind, CheckSide, HealthCheck
from reconciler.observed import from_here
from reconciler.observed.deadlines import connect
from tests.support.wait import wait_until

WITHIN = 1.0
SLACK = 3.0  # seconds that a busy machine may add
LOOPBACK = "127.0.0.1"
HEAD = b"HTTP/1.1 200 OK\r\n"


def drip_headers() -> Iterator[bytes]:
    """Send a header after another, a byte at a time, so that no read is ever late."""
    yield HEAD
    for number in itertools.count():
        for one in f"X-{number}: more\r\n":
            yield one.encode()


def drip_status() -> Iterator[bytes]:
    """Send a status line that does not end."""
    yield b"HTTP/1.1 200 "
    while True:
        yield b"O"


def hint_for_ever() -> Iterator[bytes]:
    """Send one informational answer after another, as fast as can be."""
    while True:
        yield b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100


ATTACKS = [drip_headers, drip_status, hint_for_ever]
SLOW = (drip_headers, drip_status)
PACE = 0.01  # seconds between two bytes


class Endless:
    """A server that sends what *attack* gives, until it is cut off."""

    def __init__(self, attack: Callable[[], Iterator[bytes]]) -> None:
        self._attack = attack
        self._socket = socket.create_server((LOOPBACK, 0))
        self.port: int = self._socket.getsockname()[1]
        self.cut = threading.Event()

    def serve(self) -> None:
        """Serve one client after another."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                with client, contextlib.suppress(OSError):
                    for part in self._attack():
                        client.sendall(part)
                        if self._attack in SLOW and has_hung_up(client, within=PACE):
                            break
                self.cut.set()

    def close(self) -> None:
        """End it."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def has_hung_up(client: socket.socket, *, within: float) -> bool:
    """Return whether *client* ends the connection *within* seconds."""
    readable, _, _ = select.select([client], [], [], within)
    return bool(readable) and not client.recv(4096)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_answer_that_does_not_end_is_cut_off(
    attack: Callable[[], Iterator[bytes]], scheme: str
) -> None:
    server = Endless(attack)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    check = HealthCheck(
        name="web",
        kind=CheckKind.HTTP,
        side=CheckSide.RECONCILER,
        scheme=scheme,
        host=LOOPBACK,
        port=server.port,
        within=WITHIN,
    )

    began = time.monotonic()
    result = from_here.run(
        check, LOOPBACK, seconds=WITHIN, folder=None, over=threading.Event()
    )
    took = time.monotonic() - began

    server.close()
    assert not result.passed
    assert took < WITHIN + SLACK
    wait_until(server.cut.is_set, 10, "the connection to be cut")
    assert "check" not in {one.name for one in threading.enumerate()}


def test_a_name_with_any_number_of_addresses_takes_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The deadline is for all of them; each accepts nothing and says nothing."""
    full = socket.socket()
    full.bind((LOOPBACK, 0))
    full.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for one in fillers:
        one.setblocking(False)  # noqa: FBT003
        one.connect_ex(full.getsockname())
    address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", full.getsockname())
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 100)

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        connect("many.example.org", 1, 0.5)

    assert time.monotonic() - began < 0.5 + SLACK
    for one in (full, *fillers):
        one.close()
