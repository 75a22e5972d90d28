"""Metrics and health over HTTP, from a server that really listens."""

import contextlib
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
import uvicorn

from reconciler.errors import SettingsError
from reconciler.metrics import Metrics
from reconciler.model import HostName
from reconciler.web import Server, create_app
from reconciler.web.server import STOP_SECONDS
from tests.support.wait import wait_until, within

DEADLINE = 60.0  # seconds


@contextlib.contextmanager
def serving(
    metrics: Metrics | None = None, problem: Callable[[], str] = str
) -> Iterator[Server]:
    server = Server(create_app(metrics or Metrics(), problem), listen="127.0.0.1:0")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def get(server: Server, path: str) -> httpx.Response:
    host, port = server.address
    return httpx.get(f"http://{host}:{port}{path}", timeout=DEADLINE)


def test_metrics_are_served_as_prometheus_reads_them() -> None:
    metrics = Metrics()
    metrics.host_known(HostName("keanu"))
    with serving(metrics) as server:
        answer = get(server, "/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'reconciler_host_up{host="keanu"} 0\n' in answer.text


def test_health_is_what_the_daemon_says_now() -> None:
    problems = iter(["", "the loop gave no sign of life for 90 s", ""])
    with serving(problem=lambda: next(problems)) as server:
        answers = [get(server, "/healthz") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 503, 200]
    assert answers[0].json() == {"status": "ok"}
    assert answers[1].json() == {
        "status": "failing",
        "reason": "the loop gave no sign of life for 90 s",
    }


def test_the_index_leads_to_the_rest() -> None:
    with serving() as server:
        index = get(server, "/").json()
        for name in ("metrics", "health", "openapi"):
            assert get(server, index[name]).status_code == 200
        assert get(server, "/nothing-here").status_code == 404

    assert index["name"] == "reconciler"


def test_a_health_check_that_hangs_does_not_keep_metrics_from_being_served() -> None:
    free = threading.Event()

    def hang() -> str:
        free.wait(DEADLINE)
        return ""

    with serving(problem=hang) as server:
        asked = threading.Thread(target=get, args=(server, "/healthz"), daemon=True)
        asked.start()
        assert get(server, "/metrics").status_code == 200
        free.set()
        asked.join(DEADLINE)


def test_an_address_that_is_taken_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        server = Server(create_app(Metrics(), str), listen=listen)

        with pytest.raises(SettingsError) as caught:
            server.start()

    assert str(caught.value) == (
        f"http.listen: cannot listen at {listen}: Address already in use"
    )


@pytest.mark.parametrize(
    "listen",
    [
        *("", "9876", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536"),
        *("127.0.0.1:-1", "::1:80", "[::1:80", "127.0.0.1:٣"),
    ],
)
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(SettingsError, match=r"http\.listen: .* is not host:port"):
        Server(create_app(Metrics(), str), listen=listen).start()


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(SettingsError, match="Cannot assign requested address"):
        Server(create_app(Metrics(), str), listen="192.0.2.1:9876").start()


def test_ipv6_is_served() -> None:
    server = Server(create_app(Metrics(), str), listen="[::1]:0")
    server.start()
    try:
        port = server.address[1]
        answer = httpx.get(f"http://[::1]:{port}/healthz", timeout=DEADLINE)
    finally:
        server.stop()

    assert answer.status_code == 200


def test_it_ends_soon_and_frees_its_address() -> None:
    """Also while somebody holds a connection open and says half of something."""
    with serving() as server:
        address = server.address
        with (
            socket.create_connection(address) as idle,
            socket.create_connection(address) as slow,
            httpx.Client(timeout=DEADLINE) as client,
        ):
            slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
            client.get(f"http://{address[0]}:{address[1]}/")  # stays open
            with within(5.0):
                server.stop()
            assert idle.fileno() >= 0

    assert "http" not in {thread.name for thread in threading.enumerate()}
    again = Server(create_app(Metrics(), str), listen=f"{address[0]}:{address[1]}")
    again.start()
    again.stop()


def test_a_request_that_hangs_does_not_keep_it_from_ending() -> None:
    free, asked = threading.Event(), threading.Event()

    def hang() -> str:
        asked.set()
        free.wait(6 * DEADLINE)
        return ""

    def ask(server: Server) -> None:
        with contextlib.suppress(httpx.HTTPError):
            get(server, "/healthz")

    with serving(problem=hang) as server:
        thread = threading.Thread(target=ask, args=(server,), daemon=True)
        thread.start()
        assert asked.wait(DEADLINE)
        try:
            with within(STOP_SECONDS + 3.0):
                server.stop()
        finally:
            free.set()
            thread.join(DEADLINE)


def test_stopping_what_was_not_started_or_twice_does_nothing() -> None:
    server = Server(create_app(Metrics(), str), listen="127.0.0.1:0")
    server.stop()
    server.start()
    server.stop()
    server.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.address


def test_that_it_is_served_is_known_without_asking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a bug or a lack of memory may end its thread."""
    made: list[uvicorn.Server] = []
    whole = uvicorn.Server.__init__

    def noted(self: uvicorn.Server, config: uvicorn.Config) -> None:
        made.append(self)
        whole(self, config)

    monkeypatch.setattr(uvicorn.Server, "__init__", noted)
    assert Server(create_app(Metrics(), str), listen="127.0.0.1:0").problem()
    with serving() as server:
        assert server.problem() == ""
        made[0].should_exit = True
        wait_until(server.problem, DEADLINE, "its thread to end")
        assert server.problem() == "the HTTP server has ended"


def test_signals_stay_with_the_program() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with serving():
        during = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]

    assert during == before


def test_requests_leave_no_trace_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="uvicorn")
    with serving() as server:
        get(server, "/metrics")
        get(server, "/nothing-here")

    assert [r for r in caplog.records if r.name.startswith("uvicorn")] == []


def test_a_command_that_serves_nothing_does_not_load_the_server() -> None:
    script = (
        "import sys, reconciler.web, reconciler.history, reconciler.metrics;"
        "large = {'alembic', 'fastapi', 'starlette', 'uvicorn'};"
        "print(*sorted(large & {*sys.modules}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert loaded.stdout.split() == []
