"""The first of a host's addresses that answers is the one that is used."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from reconciler.remote.tcp import connect, interleaved

Found = list[tuple[object, ...]]


@pytest.fixture
def good() -> Iterator[socket.socket]:
    """Answer at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def swallows() -> Iterator[socket.socket]:
    """Drop each SYN, since nobody takes those that came before."""
    with contextlib.ExitStack() as held:
        server = held.enter_context(socket.socket())
        server.bind(("127.0.0.2", 0))
        server.listen(0)
        for _ in range(4):
            other = held.enter_context(socket.socket())
            other.settimeout(0.0)
            with contextlib.suppress(BlockingIOError):
                other.connect(server.getsockname())
        yield server


@pytest.fixture
def refuses() -> Iterator[socket.socket]:
    """Have the address to itself, and do not listen there."""
    with socket.socket() as server:
        server.bind(("127.0.0.3", 0))
        yield server


def resolve_to(monkeypatch: pytest.MonkeyPatch, *servers: socket.socket) -> None:
    """Have every name lead to these."""
    found: Found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", server.getsockname())
        for server in servers
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def reach(seconds: float) -> socket.socket:
    deadline = time.monotonic() + seconds
    return connect("host.example", 22, family=socket.AF_UNSPEC, deadline=deadline)


def test_an_address_that_swallows_packets_does_not_hide_another(
    swallows: socket.socket, good: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, swallows, good)
    began = time.monotonic()

    with reach(20) as sock:
        assert sock.getpeername() == good.getsockname()
        assert sock.gettimeout() is None

    assert time.monotonic() - began < 5


def test_an_address_that_refuses_is_passed_over(
    refuses: socket.socket, good: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, refuses, good)

    with reach(20) as sock:
        assert sock.getpeername() == good.getsockname()


def test_the_first_one_is_preferred(
    good: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.4", 0)) as other:
        resolve_to(monkeypatch, good, other)

        with reach(20) as sock:
            assert sock.getpeername() == good.getsockname()


def test_what_each_address_did_is_told(
    swallows: socket.socket, refuses: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, swallows, refuses)

    with pytest.raises(OSError, match=r"127\.0\.0\.3: Connection refused") as caught:
        reach(0.8)

    assert "127.0.0.2: no answer in time" in str(caught.value)


def test_silence_ends_at_the_deadline(
    swallows: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, swallows)

    with pytest.raises(TimeoutError, match="no answer in time"):
        reach(0.3)


def test_families_take_turns() -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    found: Found = [
        (six, 1, 6, "", ("::1", 22)),
        (six, 1, 6, "", ("::2", 22)),
        (four, 1, 6, "", ("127.0.0.1", 22)),
    ]

    told = [address[0] for *_, address in interleaved(found)]

    assert told == ["::1", "127.0.0.1", "::2"]
