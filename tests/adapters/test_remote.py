"""Hosts over SSH, against a real sshd."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reconciler.errors import (
    ConnectError,
    RemoteError,
    RemoteTimeoutError,
)
from reconciler.model import HostName, Target
from reconciler.remote import HostReader, HostWriter
from reconciler.remote.connections import Connections
from reconciler.remote.local import Local
from tests.support.sshd import Sshd, connected, running
from tests.support.wait import patience, wait_until, within

HOST = HostName("lufta")
HERE = Target.here(())  # without sudo: what is run here needs no root
SLACK = 3.0  # seconds that a busy machine may add


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(tmp_path_factory.mktemp("sshd")) as sshd:
        yield sshd


@pytest.fixture
def own_sshd(tmp_path: Path) -> Iterator[Sshd]:
    """One that the test may break."""
    with running(tmp_path / "sshd") as sshd:
        yield sshd


@pytest.fixture
def connections(sshd: Sshd) -> Iterator[Connections]:
    with connected(sshd) as connections:
        yield connections


@pytest.fixture
def own(own_sshd: Sshd) -> Iterator[Connections]:
    with connected(own_sshd, connect_timeout=patience(1.0)) as connections:
        yield connections


@pytest.fixture(params=["over SSH", "here"])
def writer(
    connections: Connections, sshd: Sshd, request: pytest.FixtureRequest
) -> HostWriter:
    if request.param == "here":
        return Local().writer(HOST, HERE)
    return connections.writer(HOST, sshd.target)


def read(reader: HostReader, script: str, deadline: float = 10.0) -> str:
    return reader.read(script, what="a look", deadline=deadline)


def alive(mark: str) -> bool:
    """Whether a process on this machine has *mark* among its arguments."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words:
            return True
    return False


# --- looking ---------------------------------------------------------------------


def test_a_script_is_run_as_it_is(writer: HostWriter) -> None:
    script = 'x=\'$(id) `id` "\\\\"\'; printf "%s|" "$x" \\\\x2d; echo "é"'

    assert read(writer, script) == '$(id) `id` "\\\\"|\\x2d|é\n'


def test_a_script_may_be_longer_than_an_argument(writer: HostWriter) -> None:
    names = "x" * 300_000

    assert read(writer, f"n={names}; echo ${{#n}}") == "300000\n"


def test_a_script_has_no_input_of_its_own(writer: HostWriter) -> None:
    assert read(writer, "cat; echo done") == "done\n"


def test_a_long_answer_arrives_whole(writer: HostWriter) -> None:
    assert (
        read(writer, "yes answer | head -c 5000000")
        == ("answer\n" * 714286)[:5_000_000]
    )


def test_an_endless_answer_is_refused(writer: HostWriter) -> None:
    with pytest.raises(RemoteError, match="printed more than"):
        read(writer, "yes", deadline=60)
    assert read(writer, "echo still there") == "still there\n"


def test_a_failure_tells_status_and_reason(writer: HostWriter) -> None:
    with pytest.raises(RemoteError, match=r"lufta: a look .* status 3: bad luck") as e:
        read(writer, "echo bad luck >&2; exit 3")
    assert (e.value.host, e.value.status, e.value.stderr) == ("lufta", 3, "bad luck\n")


def test_bytes_that_are_no_text_do_no_harm(writer: HostWriter) -> None:
    assert read(writer, r"printf 'a\377b'") == "a�b"


def test_a_deadline_kills_the_process_on_the_host(writer: HostWriter) -> None:
    """Fabric's own timeout leaves it running."""
    mark = f"31.{os.getpid()}{time.monotonic_ns()}"

    with (
        within(0.3 + SLACK),
        pytest.raises(RemoteTimeoutError, match=r"did not end within 0\.3 s"),
    ):
        read(writer, f"sleep {mark}", deadline=0.3)

    wait_until(lambda: not alive(mark), SLACK, "the end of sleep")


def test_a_deadline_kills_what_ignores_the_signal(writer: HostWriter) -> None:
    mark = f"32.{os.getpid()}{time.monotonic_ns()}"

    with pytest.raises(RemoteTimeoutError):
        read(writer, f"trap '' TERM; sleep {mark}; sleep {mark}", deadline=0.3)

    wait_until(lambda: not alive(mark), SLACK, "the end of sleep")


def test_an_exit_status_of_124_is_no_timeout(writer: HostWriter) -> None:
    with pytest.raises(RemoteError) as caught:
        read(writer, "exit 124")
    assert not isinstance(caught.value, RemoteTimeoutError)


def test_a_reader_cannot_write(connections: Connections, sshd: Sshd) -> None:
    reader = connections.reader(HOST, sshd.target)

    assert reader.host == HOST
    assert not hasattr(reader, "run")


# --- changing --------------------------------------------------------------------


def test_arguments_come_through_as_they_are(writer: HostWriter) -> None:
    words = [r"a\x2db", "'", "$(id)", "*", "", "two words", "\\\\", "\n", "-"]

    result = writer.run(["printf", "%s|", *words], what="words", deadline=60)

    assert result.stdout == "".join(f"{word}|" for word in words)


def test_both_outputs_are_kept_apart(writer: HostWriter) -> None:
    argv = ["sh", "-c", "echo out; echo err >&2; exit 7"]

    result = writer.run(argv, what="both", deadline=60, check=False)

    assert (result.status, result.stdout, result.stderr) == (7, "out\n", "err\n")
    with pytest.raises(RemoteError, match="status 7: err"):
        writer.run(argv, what="both", deadline=60)


def test_lines_come_while_the_command_runs(writer: HostWriter, tmp_path: Path) -> None:
    """The command ends only once its first line has been seen."""
    gate = tmp_path / "gate"
    script = f"echo first; until [ -e {gate} ]; do sleep 0.02; done; printf last >&2"
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        gate.touch()

    writer.run(["sh", "-c", script], what="talk", deadline=60, on_line=on_line)

    assert lines == ["first", "last"]


def test_input_larger_than_every_buffer_does_not_block(writer: HostWriter) -> None:
    """Both directions are full at once: the command copies while we still send."""
    data = b"0123456789abcde\n" * 500_000

    result = writer.run(["cat"], what="copy", deadline=30, stdin=data)

    assert result.stdout.encode() == data


def test_input_that_nobody_reads_does_no_harm(writer: HostWriter) -> None:
    result = writer.run(["true"], what="nothing", deadline=60, stdin=b"x" * 5_000_000)

    assert result.status == 0


def test_a_daemon_left_behind_does_not_hold_us(writer: HostWriter) -> None:
    """It holds the pipes open; ssh(1) would wait for it."""
    argv = ["sh", "-c", "setsid sleep 200 & echo $!"]

    result = writer.run(argv, what="a daemon", deadline=100)

    os.kill(int(result.stdout), signal.SIGKILL)  # it is on this machine, and there
    assert result.seconds < patience(5 + SLACK)


def test_an_error_never_tells_arguments_or_input(writer: HostWriter) -> None:
    with pytest.raises(RemoteError) as caught:
        writer.run(
            ["sh", "-c", "exit 1", "hunter2"], what="x", deadline=60, stdin=b"hunter2"
        )
    assert "hunter2" not in repr(caught.value) + str(caught.value.args)


def test_threads_share_one_connection(own: Connections, own_sshd: Sshd) -> None:
    """Eight open it at once, which breaks a bare Fabric connection."""
    reader = own.reader(HOST, own_sshd.target)
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(read(reader, "echo hi")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)

    assert answers == ["hi\n"] * 8
    assert own_sshd.log().count("Accepted publickey") == 1


# --- connections that break ------------------------------------------------------


def test_a_connection_is_kept(own: Connections, own_sshd: Sshd) -> None:
    for _ in range(3):
        read(own.reader(HOST, own_sshd.target), "true")

    assert own_sshd.log().count("Accepted publickey") == 1


def test_reconnect_opens_a_new_one(own: Connections, own_sshd: Sshd) -> None:
    reader = own.reader(HOST, own_sshd.target)
    read(reader, "true")
    own.reconnect(HOST)
    read(reader, "true")

    assert own_sshd.log().count("Accepted publickey") == 2


def test_a_look_survives_a_connection_found_dead(
    own: Connections, own_sshd: Sshd
) -> None:
    reader = own.reader(HOST, own_sshd.target)
    read(reader, "true")
    own_sshd.end_sessions()

    assert read(reader, "echo again") == "again\n"


def test_a_change_is_never_made_twice(
    own: Connections, own_sshd: Sshd, tmp_path: Path
) -> None:
    """The command itself takes its connection down after it has counted itself."""
    count = tmp_path / "count"
    writer = own.writer(HOST, own_sshd.target)
    script = f"echo once >>{count}; sleep 30"

    def take_down() -> None:
        wait_until(count.exists, 10, "the command")
        own_sshd.end_sessions()

    breaker = threading.Thread(target=take_down)
    breaker.start()

    with pytest.raises(ConnectError, match="broke during a change"):
        writer.run(["sh", "-c", script], what="a change", deadline=60)

    breaker.join()
    assert count.read_text() == "once\n"


def test_a_host_that_comes_back_is_reached(own: Connections, own_sshd: Sshd) -> None:
    reader = own.reader(HOST, own_sshd.target)
    read(reader, "true")
    own_sshd.stop()
    with pytest.raises(ConnectError, match=r"lufta: .*Connection refused"):
        read(reader, "true")
    own_sshd.start()

    assert read(reader, "echo back") == "back\n"


@pytest.mark.parametrize("connected", [True, False])
def test_a_frozen_host_does_not_hold_us(
    own: Connections, own_sshd: Sshd, *, connected: bool
) -> None:
    """It accepts TCP, and then says nothing."""
    reader = own.reader(HOST, own_sshd.target)
    if connected:
        read(reader, "true")
    own_sshd.freeze()

    with (
        within(3.0 + SLACK),
        pytest.raises((ConnectError, RemoteTimeoutError), match="lufta: "),
    ):
        read(reader, "true", deadline=1.0)

    own_sshd.thaw()
    assert read(reader, "echo back") == "back\n"


def test_a_host_that_freezes_in_the_middle(own: Connections, own_sshd: Sshd) -> None:
    writer = own.writer(HOST, own_sshd.target)

    with (
        within(2.5 + SLACK),
        pytest.raises(RemoteTimeoutError, match=r"talk did not end within 0\.5 s"),
    ):
        writer.run(
            ["sh", "-c", "echo x; sleep 9"],
            what="talk",
            deadline=0.5,
            on_line=lambda _: own_sshd.freeze(),
        )


def test_something_that_is_no_sshd(sshd: Sshd, tmp_path: Path) -> None:
    """A listener that accepts and says nothing, like a host whose sshd hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Target(address="127.0.0.1", port=server.getsockname()[1])
        connections = Connections(
            sshd.settings(connect_timeout=0.5), known_hosts=tmp_path / "none"
        )

        with (
            within(0.5 + SLACK),
            pytest.raises(ConnectError, match=r"did not answer within 0\.5 s"),
        ):
            read(connections.reader(HOST, target), "true")


def test_a_name_that_nobody_knows(connections: Connections) -> None:
    target = Target(address="no-such-host.invalid")

    with pytest.raises(ConnectError, match="lufta: cannot connect to no-such-host"):
        read(connections.reader(HOST, target), "true")


# --- quietness -------------------------------------------------------------------


def test_nothing_of_the_libraries_reaches_the_log(
    own: Connections,
    own_sshd: Sshd,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    reader = own.reader(HOST, own_sshd.target)
    with capture_logs() as ours:
        read(reader, "true")
        own_sshd.end_sessions()
        own_sshd.stop()
        with pytest.raises(ConnectError):
            read(reader, "true")

    events = [line["event"] for line in ours if line["event"] != "command"]  # ssh -G
    assert events == ["connect", "remote"]
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_no_thread_is_left(own: Connections, own_sshd: Sshd) -> None:
    before = set(threading.enumerate())
    read(own.reader(HOST, own_sshd.target), "true")
    own.forget(HOST)

    wait_until(
        lambda: not set(threading.enumerate()) - before, SLACK, "the threads' end"
    )
