"""
Webhooks under attack: bursts, senders that never end, sources that guess.

The daemon is a program of its own here, so that its times and its memory are its own.
"""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from reconciler.web.limiter import BURST
from reconciler.web.protocol import CONNECTIONS, SECONDS, Owed
from tests.support.budget import examples
from tests.support.hooks import (
    DEADLINE,
    Signed,
    all_routes,
    github,
    hooks_server,
    in_threads,
)
from tests.support.program import Program
from tests.support.wait import patience, wait_until

DELIVERIES = min(10_000, examples(2_000))
SENDERS = 16
USUAL_SECONDS = 1.0  # for an answer, on a machine that is busy with these tests
GROWTH_MIB = 30.0
FETCHES = "reconciler_fetches_total"
ACCEPTED = 'reconciler_webhook_requests_total{provider="github",result="accepted"}'


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("program")
    with Program(folder, webhooks=all_routes(folder)) as program:
        program.start()
        yield program


def wire(signed: Signed, path: str = "/hooks/github", **headers: str) -> bytes:
    """Return a delivery as it goes over the wire."""
    body, sent = signed
    sent = {"Host": "x", **sent, "Content-Length": str(len(body)), **headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {v}" for name, v in sent.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_answer(file: IO[bytes]) -> int:
    """Read one answer; return its status."""
    status, length = int(file.readline().split()[1]), 0
    while line := file.readline().strip():
        if line.lower().startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    file.read(length)
    return status


@contextlib.contextmanager
def watched(program: Program) -> Iterator[list[float]]:
    """Ask how the daemon is, again and again; give how long each answer took."""
    took, over = list[float](), threading.Event()

    def watch() -> None:
        while True:
            began = time.monotonic()
            assert program.get("/healthz")[0] == 200
            took.append(time.monotonic() - began)
            if over.wait(0.05):
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield took
    finally:
        over.set()
        thread.join()
    assert took


def median(took: list[float]) -> float:
    return sorted(took)[len(took) // 2]


@pytest.mark.search
def test_a_burst_of_deliveries_ends_in_one_more_fetch(program: Program) -> None:
    requests = [
        wire(github(b'{"number": %d}' % n), **{"X-GitHub-Delivery": f"id-{n}"})
        for n in range(DELIVERIES)
    ]
    statuses = list[int]()

    def send(number: int) -> None:
        address = ("127.0.0.1", program.port)
        with socket.create_connection(address, timeout=DEADLINE) as connection:
            file = connection.makefile("rb")
            for request in requests[number::SENDERS]:
                connection.sendall(request)
                statuses.append(read_answer(file))

    before, memory = program.metric(FETCHES), program.resident_mib
    head = program.repository.push("While it bursts")
    began = time.monotonic()
    with watched(program) as took:
        in_threads(SENDERS, send)
    seconds = time.monotonic() - began

    assert statuses == [202] * DELIVERIES
    assert program.metric(ACCEPTED) == DELIVERIES
    wait_until(lambda: head in program.said, DEADLINE, "the last commit to be seen")
    # One at once, one for each second of the burst, and one at its end.
    assert program.metric(FETCHES) - before <= seconds + 2
    assert median(took) < patience(USUAL_SECONDS)
    assert program.resident_mib - memory < GROWTH_MIB


def test_senders_that_never_end_leave_room_for_others(program: Program) -> None:
    """More of them than connections are allowed, from several addresses."""
    memory = program.resident_mib
    kinds = (
        b"",  # says nothing at all
        b"POST /hooks/github HTTP/1.1\r\nHost: x\r\nX-Slow: ",  # never ends its head
        b"POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\nx",
        b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
    )
    with contextlib.ExitStack() as stack:
        for number in range(CONNECTIONS + 200):
            source = (f"127.0.0.{2 + number % 3}", 0)
            connection = stack.enter_context(
                socket.create_connection(
                    ("127.0.0.1", program.port), source_address=source
                )
            )
            connection.sendall(kinds[number % len(kinds)])
        with watched(program) as took:
            for number in range(20):
                address = ("127.0.0.1", program.port)
                with socket.create_connection(address, timeout=DEADLINE) as good:
                    good.sendall(wire(github(b"%d" % number)))
                    assert read_answer(good.makefile("rb")) == 202

    assert median(took) < patience(USUAL_SECONDS)
    assert program.resident_mib - memory < GROWTH_MIB


def test_what_was_answered_is_not_lost_when_the_daemon_is_killed(
    tmp_path: Path,
) -> None:
    """Nobody keeps a delivery: whoever starts looks at the repository first."""
    with Program(tmp_path, webhooks=all_routes(tmp_path)) as program:
        program.start()
        head = program.repository.push("Just before the end")
        assert program.post("/hooks/github", *github(b"{}"))[0] == 202
        program.stop(signal.SIGKILL)
        program.start()
        wait_until(lambda: head in program.said, DEADLINE, "the commit to be seen")


def ended(connection: socket.socket) -> bool:
    """Say whether the other side has ended *connection*."""
    connection.settimeout(0.02)
    try:
        return connection.recv(65536) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize(
    ("owed", "begin", "drip"),
    [
        (Owed.HEAD, b"POST /hooks/github HTTP/1.1\r\nX: ", b"x"),
        (Owed.HEAD, b"", b""),
        (
            Owed.BODY,
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n",
            b"x",
        ),
        (
            Owed.REST,
            b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\nx\r\n",
        ),
    ],
)
def test_a_connection_is_not_held_by_a_drop_now_and_then(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owed: Owed,
    begin: bytes,
    drip: bytes,
) -> None:
    monkeypatch.setitem(SECONDS, owed, 0.3)
    with (
        hooks_server(tmp_path) as hooks,
        socket.create_connection(hooks.server.address) as connection,
    ):
        connection.sendall(begin)

        def dripped() -> bool:
            with contextlib.suppress(OSError):
                connection.sendall(drip)
            return ended(connection)

        began = time.monotonic()
        wait_until(dripped, DEADLINE, "the server to end the connection")
        assert 0.2 < time.monotonic() - began < patience(3)


def test_a_body_that_takes_too_long_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.web.webhooks.intake.BODY_SECONDS", 0.2)
    with (
        hooks_server(tmp_path) as hooks,
        socket.create_connection(hooks.server.address, timeout=DEADLINE) as slow,
    ):
        slow.sendall(wire(github(b"{}"))[:-1])
        assert read_answer(slow.makefile("rb")) == 408
        assert hooks.counted() == {"too-slow": 1}


def test_an_answer_that_nobody_takes_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.web.protocol.TAKE_SECONDS", 0.3)
    with hooks_server(tmp_path) as hooks, socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        lazy.connect(hooks.server.address)
        lazy.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)

        def is_reset() -> bool:
            try:
                lazy.sendall(b"x")
            except OSError:
                return True
            return False

        wait_until(is_reset, DEADLINE, "the server to end the connection")


def test_who_guesses_is_slowed_down_and_nobody_else(tmp_path: Path) -> None:
    with hooks_server(tmp_path) as hooks:
        wrong = github(b"{}", key="wrong")
        answers = [hooks.post("github", wrong) for _ in range(BURST + 20)]
        limited = [a for a in answers if a.status_code == 429]

        assert answers[0].status_code == 404
        assert limited
        assert all(1 <= int(answer.headers["retry-after"]) <= 2 for answer in limited)
        assert hooks.count("github", "rate-limited") == len(limited)
        # From there even what is right: else guessing would tell.
        assert hooks.post("github", github(b"{}")).status_code == 429
        other = ("127.0.0.9", 0)
        with socket.create_connection(
            hooks.server.address, timeout=DEADLINE, source_address=other
        ) as connection:
            connection.sendall(wire(github(b"{}")))
            assert read_answer(connection.makefile("rb")) == 202


def test_what_is_right_is_never_slowed_down(tmp_path: Path) -> None:
    with hooks_server(tmp_path) as hooks:
        for number in range(2 * BURST):
            assert hooks.post("github", github(b"%d" % number)).status_code == 202


@pytest.mark.parametrize("proxies", [[], ["127.0.0.1"]])
def test_who_is_behind_a_proxy_is_told_apart_if_the_proxy_is_believed(
    tmp_path: Path, proxies: list[str]
) -> None:
    with hooks_server(tmp_path, proxies=proxies) as hooks:
        wrong = github(b"{}", key="wrong")
        for _ in range(BURST + 5):
            hooks.post("github", wrong, X_Forwarded_For="192.0.2.1")
        answer = hooks.post("github", github(b"{}"), X_Forwarded_For="192.0.2.2")

        assert answer.status_code == (202 if proxies else 429)
