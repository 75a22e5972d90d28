"""The HTTP service of the example, over real connections."""

import http.client
import re
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.examples.conftest import DEADLINE, Program

FACTS = {"Printers are shy.", "Toner is <patient>."}

Start = Callable[..., Program]
Get = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server(start: Start, facts: Path) -> Program:
    """Start the program on a free port."""
    program = start(
        "printerfacts", "--address", "localhost", "--port", "0", "--facts", str(facts)
    )
    program.wait_for("listens on")
    return program


@pytest.fixture
def address(server: Program) -> tuple[str, int]:
    """Return where it listens, as it says itself."""
    found = re.search(r"listens on (\S+) port (\d+)\n", server.wait_for("\n"))
    assert found is not None
    return found[1], int(found[2])


@pytest.fixture
def get(address: tuple[str, int]) -> Get:
    """Return a function that asks for a page: status, content type, body."""

    def get_page(path: str, method: str = "GET") -> tuple[int, str, str]:
        connection = http.client.HTTPConnection(*address, timeout=DEADLINE)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            kind = response.getheader("Content-Type", "")
            return response.status, kind, response.read().decode()
        finally:
            connection.close()

    return get_page


def sample(get: Get, name: str, **labels: str) -> float | None:
    """Return the value of one series, read as Prometheus reads it."""
    for family in text_string_to_metric_families(get("/metrics")[2]):
        for found in family.samples:
            if found.name == name and found.labels == labels:
                return found.value
    return None


def test_it_binds_the_address_that_it_was_given(address: tuple[str, int]) -> None:
    assert address[0] in {"127.0.0.1", "::1"}


def test_fact_is_one_of_the_file(get: Get) -> None:
    told = {get("/fact") for _ in range(32)}

    assert told == {(200, "text/plain; charset=utf-8", fact + "\n") for fact in FACTS}


def test_the_page_escapes_the_fact(get: Get) -> None:
    pages = [get("/?again") for _ in range(32)]

    assert {page[:2] for page in pages} == {(200, "text/html; charset=utf-8")}
    assert any("<p>Toner is &lt;patient&gt;.</p>" in page[2] for page in pages)
    assert not any("<patient>" in page[2] for page in pages)


def test_it_is_healthy(get: Get) -> None:
    assert get("/healthz") == (200, "text/plain; charset=utf-8", "ok\n")


def test_an_unknown_page_is_not_found(get: Get) -> None:
    assert get("/metrics/")[0] == 404


def test_head_has_the_headers_alone(get: Get) -> None:
    assert get("/fact", "HEAD") == (200, "text/plain; charset=utf-8", "")


def test_other_methods_are_refused(get: Get) -> None:
    assert get("/fact", "POST")[0] == 501


def test_the_metrics_count(get: Get) -> None:
    labels = {"path": "/fact", "code": "200"}

    assert sample(get, "printerfacts_requests_total", **labels) == 0
    assert sample(get, "printerfacts_facts_told_total") == 0
    assert sample(get, "printerfacts_facts") == 2
    get("/fact")
    get("/")
    get("/nowhere")
    get("/fact", "DELETE")
    assert sample(get, "printerfacts_requests_total", **labels) == 1
    assert sample(get, "printerfacts_facts_told_total") == 2
    assert sample(get, "printerfacts_requests_total", path="other", code="404") == 1
    assert sample(get, "printerfacts_requests_total", path="/fact", code="501") == 1


def test_many_are_answered_while_one_stays_silent(
    get: Get, address: tuple[str, int]
) -> None:
    with (
        socket.create_connection(address, timeout=DEADLINE),
        ThreadPoolExecutor(16) as pool,
    ):
        told = list(pool.map(get, ["/fact"] * 200))

    assert {status for status, _, _ in told} == {200}
    assert sample(get, "printerfacts_facts_told_total") == 200


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0\xff\xfe\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        # No byte more than is read of a line: closing with unread ones resets.
        b"G" * 65_537,
        b"GET /fact HTTP/1.1\r\n" + b"a: b\r\n" * 500 + b"\r\n",
    ],
    ids=["bytes", "no path", "version", "long line", "headers"],
)
def test_garbage_is_refused_and_survived(
    server: Program, address: tuple[str, int], get: Get, garbage: bytes
) -> None:
    with socket.create_connection(address, timeout=DEADLINE) as client:
        client.sendall(garbage)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))

    assert re.search(rb"\b(400|414|431|505)\b", answer)
    assert get("/healthz")[0] == 200
    server.stop()
    assert "Traceback" not in server.output


def test_it_stops_when_asked_with_a_connection_open(
    server: Program, address: tuple[str, int], get: Get
) -> None:
    with socket.create_connection(address, timeout=DEADLINE):
        get("/healthz")

        assert server.stop(signal.SIGTERM) == 0
    assert server.output.endswith("goodbye\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--address", "nowhere.invalid"], "printerfacts: [Errno -"),
        (["--address", "localhost", "--port", "70000"], "printerfacts: "),
        (["--address", "localhost", "--port", "0", "--facts", "/dev/null"], "no facts"),
    ],
)
def test_what_cannot_be_served_ends_it_with_a_reason(
    start: Start, facts: Path, arguments: list[str], complaint: str
) -> None:
    program = start("printerfacts", "--facts", str(facts), *arguments)

    assert program.wait() == 1
    assert complaint in program.output
    assert "Traceback" not in program.output


def test_a_port_that_is_taken_ends_it_with_a_reason(
    start: Start, facts: Path, address: tuple[str, int]
) -> None:
    host, port = address
    second = start(
        "printerfacts", "--address", host, "--port", str(port), "--facts", str(facts)
    )

    assert second.wait() == 1
    assert "Address already in use" in second.output
    assert "Traceback" not in second.output
