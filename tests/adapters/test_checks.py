"""
Health checks against real servers: through a real sshd, and from here.

The host is this machine, so each server stands for one on the host.
"""

import datetime as dt
import http.server
import ipaddress
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs
from typing_extensions import override

from reconciler.errors import ConnectError, FactError
from reconciler.model import (
    CheckKind,
    CheckResult,
    CheckSide,
    Desired,
    HealthCheck,
    HostName,
    StorePath,
    Target,
)
from reconciler.observed import checks_seconds, run_checks
from reconciler.remote import HostReader
from reconciler.remote.connections import Connections
from tests.support.sshd import Sshd, connected, running
from tests.support.wait import patience, wait_until, within

HOST = HostName("lufta")
SECRET = f"Bearer hunter2-of-{os.getpid()}"
SLACK = 3.0  # seconds that a busy machine may add
SIDES = pytest.mark.parametrize("side", CheckSide)


@dataclass(slots=True)
class Web:
    """A web server whose answers are the test's to choose, in their order."""

    answers: list[int]  # the last one is repeated; 0: none, until the end
    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)  # path and Host
    seen: list[str] = field(default_factory=list)  # argv in which the secret stood
    over: threading.Event = field(default_factory=threading.Event)


def _handler(web: Web) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.asked.append((self.path, self.headers["Host"]))
            if self.headers.get("Authorization") == SECRET:
                web.seen += arguments_with(SECRET)
            answer = web.answers.pop(0) if web.answers[1:] else web.answers[0]
            if not answer:
                web.over.wait(30)
                return
            self.send_response(answer)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


def arguments_with(text: str) -> list[str]:
    """Return the command lines on this machine that hold *text*."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away."""


class _Server6(_Server):
    address_family = socket.AF_INET6


Serve = Callable[..., Web]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Give what starts a web server that answers with these statuses."""
    started: list[tuple[Web, http.server.ThreadingHTTPServer]] = []

    def start(*answers: int, address: str = "127.0.0.1", tls: bool = False) -> Web:
        web = Web(list(answers))
        kind = _Server6 if ":" in address else _Server
        server = kind((address, 0), _handler(web))
        web.port = server.server_address[1]
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(_certificate(tmp_path))
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        started.append((web, server))
        return web

    yield start
    for web, server in started:
        web.over.set()
        server.shutdown()
        server.server_close()


def _certificate(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 that nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lufta")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            encoding,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(encoding)
    )
    return path


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(tmp_path_factory.mktemp("sshd")) as sshd:
        yield sshd


@pytest.fixture(scope="module")
def connections(sshd: Sshd) -> Iterator[Connections]:
    with connected(sshd) as connections:
        yield connections


@pytest.fixture
def reader(connections: Connections, sshd: Sshd) -> HostReader:
    return connections.reader(HOST, sshd.target)


def check(kind: CheckKind, side: CheckSide, **fields: object) -> HealthCheck:
    """Return a check that is tried for two seconds, five times a second."""
    given = {"name": "it", "period": 0.2, "timeout": 1, "within": 2, **fields}
    return HealthCheck(kind=kind, side=side, **given)  # type: ignore[arg-type]


def web_check(web: Web, side: CheckSide, **fields: object) -> HealthCheck:
    given = {"host": "127.0.0.1", "port": web.port, **fields}
    return check(CheckKind.HTTP, side, **given)


def desired(*checks: HealthCheck) -> Desired:
    return Desired(
        host=HOST,
        toplevel=StorePath("/nix/store/t"),
        derivation=StorePath("/nix/store/t.drv"),
        units={},
        target=Target(address="127.0.0.1"),
        checks=checks,
    )


def run(
    reader: HostReader, *checks: HealthCheck, deadline: float = 20.0
) -> tuple[CheckResult, ...]:
    return run_checks(reader, desired(*checks), deadline=deadline)


def outcome(reader: HostReader, one: HealthCheck) -> CheckResult:
    (result,) = run(reader, one)
    assert result.name == "it"
    assert result.passed is (not result.problem)
    return result


# --- HTTP ------------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("answer", [200, 204, 302])
def test_an_answer_that_is_good(
    reader: HostReader, serve: Serve, side: CheckSide, answer: int
) -> None:
    web = serve(answer)

    assert outcome(reader, web_check(web, side, path="/up?a=[1-3]")).passed
    assert web.asked == [("/up?a=[1-3]", f"127.0.0.1:{web.port}")]


@SIDES
def test_the_host_itself_is_asked_unless_another_is_named(
    reader: HostReader, serve: Serve, side: CheckSide
) -> None:
    assert outcome(reader, web_check(serve(200), side, host="")).passed


@SIDES
@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (503, (), "answered 503, not 200 to 399"),
        (404, (200, 204), "answered 404, not 200 204"),
        (200, (401,), "answered 200, not 401"),
    ],
)
def test_an_answer_that_is_not(
    reader: HostReader,
    serve: Serve,
    side: CheckSide,
    answer: int,
    status: tuple[int, ...],
    said: str,
) -> None:
    one = web_check(serve(answer), side, status=status, within=0.4)

    assert outcome(reader, one).problem == said


@SIDES
def test_it_is_tried_until_the_answer_is_good(
    reader: HostReader, serve: Serve, side: CheckSide
) -> None:
    web = serve(503, 503, 401)

    assert outcome(reader, web_check(web, side, status=(401,), within=10)).passed
    assert len(web.asked) == 3


@SIDES
def test_one_try_that_hangs_is_not_the_last(
    reader: HostReader, serve: Serve, side: CheckSide
) -> None:
    web = serve(0, 200)

    assert outcome(reader, web_check(web, side, timeout=2, within=60)).passed


@SIDES
def test_a_last_try_that_is_cut_short_hides_nothing(
    reader: HostReader, serve: Serve, side: CheckSide
) -> None:
    one = web_check(serve(503, 503, 0), side, period=0.5, timeout=5, within=1.5)

    assert outcome(reader, one).problem == "answered 503, not 200 to 399"


@SIDES
def test_no_answer_at_all(reader: HostReader, serve: Serve, side: CheckSide) -> None:
    result = outcome(reader, web_check(serve(0), side, timeout=0, within=1))

    assert "no answer within " in result.problem
    assert 0.9 < result.seconds < patience(1 + SLACK)


@SIDES
def test_nobody_listens(reader: HostReader, side: CheckSide) -> None:
    one = check(CheckKind.HTTP, side, host="127.0.0.1", port=1, within=0.3)

    assert "no answer: " in outcome(reader, one).problem


@SIDES
def test_headers_are_sent_and_seen_by_nobody(
    reader: HostReader, serve: Serve, side: CheckSide
) -> None:
    web = serve(200)
    headers = {"Host": 'a "quoted\\" one', "Authorization": SECRET}

    assert outcome(reader, web_check(web, side, headers=headers)).passed
    assert web.asked == [("/", 'a "quoted\\" one')]
    assert web.seen == []


# Where a connection is cut between TCP and TLS, Python forgets to close what it made.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
@SIDES
def test_a_certificate_must_be_good_unless_any_will_do(
    reader: HostReader, serve: Serve, side: CheckSide
) -> None:
    web = serve(200, tls=True)
    strict = web_check(web, side, scheme="https", within=0.5)
    lenient = web_check(web, side, scheme="https", insecure=True)

    assert "certificate" in outcome(reader, strict).problem
    assert outcome(reader, lenient).passed


def test_the_machines_own_certificates_count(
    reader: HostReader, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = serve(200, tls=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))

    assert outcome(reader, web_check(web, CheckSide.RECONCILER, scheme="https")).passed


@SIDES
@pytest.mark.parametrize("kind", [CheckKind.HTTP, CheckKind.TCP])
def test_an_address_may_be_of_ipv6(
    reader: HostReader, serve: Serve, side: CheckSide, kind: CheckKind
) -> None:
    web = serve(200, address="::1")

    assert outcome(reader, check(kind, side, host="::1", port=web.port)).passed


def test_a_proxy_is_not_asked(
    reader: HostReader, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert outcome(reader, web_check(serve(200), CheckSide.RECONCILER)).passed


# --- TCP -------------------------------------------------------------------------


@SIDES
def test_a_port_that_accepts(reader: HostReader, sshd: Sshd, side: CheckSide) -> None:
    one = check(CheckKind.TCP, side, host="127.0.0.1", port=sshd.port)

    assert outcome(reader, one).passed


@SIDES
def test_a_port_that_does_not(reader: HostReader, side: CheckSide) -> None:
    one = check(CheckKind.TCP, side, host="127.0.0.1", port=1, within=0.5)

    assert outcome(reader, one).problem == "no connection: Connection refused"


@SIDES
def test_a_port_that_opens_late(reader: HostReader, side: CheckSide) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        timer = threading.Timer(0.8, server.listen)
        timer.start()

        one = check(CheckKind.TCP, side, host="127.0.0.1", port=port, within=10)
        result = outcome(reader, one)
        timer.join()

    assert result.passed
    assert result.seconds > 0.5


# --- commands --------------------------------------------------------------------


@SIDES
def test_a_command_that_succeeds(reader: HostReader, side: CheckSide) -> None:
    words = ("sh", "-c", "test \"$*\" = 'a *  \\$b'", "sh", "a", "*  \\$b")

    assert outcome(reader, check(CheckKind.COMMAND, side, command=words)).passed


@SIDES
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 3", "exited with status 3"),
        ("echo on two; echo 'lines: ü' >&2; exit 1", "status 1: on two lines: ü"),
        ("yes | head -c 99999; exit 1", "…"),
        ("exec no-such-program", "exited with status 127"),
    ],
)
def test_a_command_that_fails(
    reader: HostReader, side: CheckSide, script: str, said: str
) -> None:
    one = check(CheckKind.COMMAND, side, command=("sh", "-c", script), within=0.3)

    problem = outcome(reader, one).problem
    assert said in problem
    assert len(problem) <= 300
    assert "\n" not in problem


@SIDES
def test_a_command_that_is_not_there(reader: HostReader, side: CheckSide) -> None:
    one = check(CheckKind.COMMAND, side, command=("no-such-program",), within=0.3)

    problem = outcome(reader, one).problem
    assert "no-such-program" in problem
    assert ("not found" if side is CheckSide.RECONCILER else "No such file") in problem


@SIDES
def test_a_command_that_hangs_is_ended(reader: HostReader, side: CheckSide) -> None:
    # Of this process alone, on a machine where others run the same test.
    mark = f"sleep 61.{os.getpid()}{len(side.value)}"
    script = f"trap '' TERM; {mark} & echo busy >&2; wait; wait"
    one = check(CheckKind.COMMAND, side, command=("sh", "-c", script), within=1)

    result = outcome(reader, one)

    assert result.problem.startswith("did not end within ")
    assert result.problem.endswith("s: busy")
    assert result.seconds < patience(1 + 2 + SLACK)
    wait_until(lambda: arguments_with(mark) == [], SLACK, "the end of sleep")


@SIDES
def test_a_command_leaves_a_process_behind(reader: HostReader, side: CheckSide) -> None:
    script = "setsid sleep 4.7 >/dev/null 2>&1 & exit 0"
    one = check(CheckKind.COMMAND, side, command=("sh", "-c", script))

    assert outcome(reader, one).passed


def test_commands_of_our_side_run_in_the_checkout(
    reader: HostReader, tmp_path: Path
) -> None:
    (tmp_path / "look").touch()
    one = check(CheckKind.COMMAND, CheckSide.RECONCILER, command=("test", "-e", "look"))

    (result,) = run_checks(reader, desired(one), deadline=10, folder=tmp_path)

    assert result.passed


# --- all of a host ---------------------------------------------------------------


def test_all_run_side_by_side_and_those_of_the_host_in_one_round_trip(
    reader: HostReader,
) -> None:
    slow = [
        check(CheckKind.COMMAND, side, command=("sleep", "1"), timeout=60, within=60)
        for side in CheckSide
        for _ in range(4)
    ]
    with capture_logs() as logs, within(8):
        results = run(reader, *slow)

    assert [result.passed for result in results] == [True] * 8
    assert [log["what"] for log in logs if log["event"] == "remote"] == [
        "health checks"
    ]


def test_results_come_in_the_order_of_the_checks(reader: HostReader) -> None:
    checks = [
        check(CheckKind.COMMAND, side, name=name, command=("sleep", seconds))
        for name, side, seconds in [
            ("a", CheckSide.RECONCILER, "0.3"),
            ("b", CheckSide.HOST, "0.4"),
            ("c", CheckSide.HOST, "0"),
            ("d", CheckSide.RECONCILER, "0"),
        ]
    ]

    assert [result.name for result in run(reader, *checks)] == ["a", "b", "c", "d"]


@SIDES
def test_the_deadline_ends_every_check(reader: HostReader, side: CheckSide) -> None:
    hung = check(
        CheckKind.COMMAND, side, command=("sleep", "62.7"), timeout=0, within=60
    )
    refused = check(CheckKind.TCP, side, host="127.0.0.1", port=1, within=60)

    with within(4 + SLACK):
        results = run(reader, hung, refused, deadline=4)

    assert [result.passed for result in results] == [False, False]
    assert "refused" in results[1].problem
    assert checks_seconds(desired(hung, refused)) > 60


def test_without_checks_the_host_is_not_asked(reader: HostReader) -> None:
    with capture_logs() as logs:
        assert run(reader) == ()
    assert logs == []
    assert checks_seconds(desired()) == 0


def test_a_host_that_is_away_is_an_error_and_no_result() -> None:
    class Away:
        host = HOST

        def read(self, script: str, *, what: str, deadline: float) -> str:
            message = f"{what}: no route ({len(script)}, {deadline})"
            raise ConnectError(message, host=HOST)

    here = check(CheckKind.COMMAND, CheckSide.RECONCILER, command=("sleep", "0.1"))
    there = check(CheckKind.COMMAND, CheckSide.HOST, command=("true",))

    with pytest.raises(ConnectError, match="no route"):
        run(Away(), here, there)


# --- a host that lacks something -------------------------------------------------


@dataclass
class Bare:
    """A host with nothing but the programs in a folder."""

    programs: Path
    host: HostName = HOST

    def read(self, script: str, *, what: str, deadline: float) -> str:
        """Run *script* here, with these programs instead of the host's."""
        assert what
        lines = script.splitlines()
        (number,) = (n for n, line in enumerate(lines) if line.startswith("PATH="))
        lines[number] = f"PATH={self.programs}"
        done = subprocess.run(
            ["/bin/sh"],
            input="\n".join(lines),
            capture_output=True,
            text=True,
            timeout=deadline,
            check=True,
        )
        return done.stdout


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    for name in ("env", "sh", "sleep", "tail", "timeout", "tr", "true"):
        (tmp_path / name).symlink_to(Path("/usr/bin", name))
    return Bare(tmp_path)


@pytest.mark.parametrize(
    ("kind", "tool"), [(CheckKind.HTTP, "curl"), (CheckKind.TCP, "bash")]
)
def test_a_tool_that_the_host_lacks_is_told_at_once(
    bare: Bare, kind: CheckKind, tool: str
) -> None:
    result = outcome(bare, check(kind, CheckSide.HOST, port=80, within=15))

    assert result.problem == f"cannot be checked: no {tool} on the host"
    assert result.seconds < patience(SLACK)


def test_a_command_needs_neither(bare: Bare) -> None:
    one = check(CheckKind.COMMAND, CheckSide.HOST, command=("true",))

    assert outcome(bare, one).passed


@pytest.mark.parametrize(
    "text",
    ["", "0 1 \n", "== end\n", "0 1 \n0 1\n== end\n", "1 1 \n== end\n", "x\n== end\n"],
)
def test_an_answer_that_is_none(text: str) -> None:
    class Odd:
        host = HOST

        def read(self, script: str, *, what: str, deadline: float) -> str:
            assert script
            assert what
            assert deadline
            return text

    one = check(CheckKind.COMMAND, CheckSide.HOST, command=("true",))

    with pytest.raises(FactError, match="lufta: the answer of health checks: "):
        run(Odd(), one)
