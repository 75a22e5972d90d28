"""What is sent to systemd, read from a real socket as systemd would."""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from reconciler import systemd
from reconciler.systemd import Notifier, Pulse
from tests.support.wait import wait_until, within

SOON = 10.0
Message = dict[str, str]


class Manager:
    """The end of the socket at which systemd listens."""

    def __init__(self, address: str | bytes) -> None:
        self.address = str(address)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(SOON)

    def next(self) -> Message:
        """Return the next message, waiting for it."""
        lines = self.socket.recv(4096).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def next_with(self, name: str) -> Message:
        """Return the next message that holds *name*."""
        while name not in (message := self.next()):
            pass
        return message

    def waiting(self) -> list[Message]:
        """Return what has been sent so far and not been read."""
        found = []
        self.socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.next())
        self.socket.settimeout(SOON)
        return found


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(str(tmp_path / "notify"))
    with contextlib.closing(manager.socket):
        yield manager


@pytest.fixture
def notifier(manager: Manager) -> Notifier:
    return Notifier(manager.address, watchdog=0.03)


class State:
    """What a daemon would say of itself."""

    def __init__(self) -> None:
        self.wrong = ""
        self.told = "commit abc, 3 of 3 hosts in sync"

    def problem(self) -> str:
        """Say why it is not well."""
        return self.wrong

    def summary(self) -> str:
        """Say how it goes."""
        return self.told


def pulse_of(notifier: Notifier, state: State) -> Pulse:
    return Pulse(notifier, problem=state.problem, summary=state.summary)


def test_a_daemon_that_is_well_is_ready_lives_and_says_how_it_goes(
    manager: Manager, notifier: Notifier
) -> None:
    state = State()

    with pulse_of(notifier, state):
        first = manager.next()
        state.told = "commit def, 2 of 3 hosts in sync"
        wait_until(
            lambda: manager.next_with("STATUS")["STATUS"] == state.told,
            SOON,
            "the new status",
        )
        beat = manager.next_with("WATCHDOG")

    assert first == {
        "READY": "1",
        "WATCHDOG": "1",
        "STATUS": "commit abc, 3 of 3 hosts in sync",
    }
    assert beat == {"WATCHDOG": "1"}
    *_, last = manager.waiting()
    assert last["STOPPING"] == "1"


def test_a_daemon_that_is_not_well_gives_no_sign_of_life(
    manager: Manager, notifier: Notifier
) -> None:
    state = State()
    with pulse_of(notifier, state):
        manager.next_with("WATCHDOG")
        state.wrong = "these threads ended: worker-1"
        wait_until(
            lambda: (
                manager.next().get("STATUS") == "failing: these threads ended: worker-1"
            ),
            SOON,
            "the problem to be told",
        )
        # From here on, several beats.
        later = [manager.next() for _ in range(5)]
        assert not [message for message in later if "WATCHDOG" in message]

        state.wrong = ""
        assert manager.next_with("WATCHDOG") == {"WATCHDOG": "1"}


def test_a_daemon_that_is_not_well_from_the_start_is_not_ready_until_it_is(
    manager: Manager, notifier: Notifier
) -> None:
    state = State()
    state.wrong = "no thread runs"
    with pulse_of(notifier, state):
        early = [manager.next() for _ in range(3)]
        assert {"STATUS": "failing: no thread runs"} in early
        assert not [message for message in early if "READY" in message]

        state.wrong = ""
        assert manager.next_with("READY")["WATCHDOG"] == "1"


def test_the_end_is_told_last_and_once(manager: Manager, notifier: Notifier) -> None:
    with pulse_of(notifier, State()) as pulse:
        manager.next()
        pulse.stop()

    told = manager.waiting()
    assert [message for message in told if "STOPPING" in message] == [told[-1]]


def test_a_beat_that_fails_is_not_the_last(
    manager: Manager, notifier: Notifier
) -> None:
    failing = threading.Event()

    def summary() -> str:
        if failing.is_set():
            failing.clear()
            raise ZeroDivisionError
        return "well"

    with (
        structlog.testing.capture_logs() as logs,
        Pulse(notifier, problem=str, summary=summary),
    ):
        manager.next_with("READY")
        failing.set()
        wait_until(lambda: not failing.is_set(), SOON, "the beat that fails")
        manager.waiting()
        assert manager.next_with("STATUS") == {"STATUS": "well"}

    assert logs[0]["event"] == "cannot tell how the daemon is"


def test_a_status_is_one_line_and_not_long(
    manager: Manager, notifier: Notifier
) -> None:
    notifier.send(STATUS="fetch failed:\nWATCHDOG=1\n" + "x" * 1000)

    (message,) = manager.waiting()
    assert message["STATUS"].startswith("fetch failed: WATCHDOG=1 xxx")
    assert len(message["STATUS"]) == systemd.STATUS_LIMIT
    assert "WATCHDOG" not in message


def test_an_abstract_socket_is_reached() -> None:
    name = f"reconciler-test-{os.getpid()}"
    manager = Manager(b"\0" + name.encode())
    with contextlib.closing(manager.socket):
        Notifier(f"@{name}").send(READY=1)

        assert manager.next() == {"READY": "1"}


# --- the environment -------------------------------------------------------------


def test_the_environment_says_where_and_how_often() -> None:
    environment = {
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": "7",
        "PATH": "/bin",
    }

    notifier = Notifier.from_environment(environment, 7)

    assert notifier.connected
    assert notifier.watchdog == 30.0
    assert environment == {"PATH": "/bin"}, "what we start is not listened to"


@pytest.mark.parametrize(
    "watchdog",
    [
        pytest.param({}, id="none"),
        pytest.param({"WATCHDOG_USEC": "0"}, id="zero"),
        pytest.param({"WATCHDOG_USEC": "often"}, id="no number"),
        pytest.param({"WATCHDOG_USEC": "5", "WATCHDOG_PID": "8"}, id="another process"),
    ],
)
def test_without_a_watchdog_of_ours_nobody_waits_for_signs_of_life(
    watchdog: Message,
) -> None:
    environment = {"NOTIFY_SOCKET": "/run/systemd/notify", **watchdog}

    assert Notifier.from_environment(environment, 7).watchdog is None


def test_without_systemd_nothing_is_sent_and_no_thread_runs() -> None:
    before = threading.active_count()

    with pulse_of(Notifier.from_environment({}, 7), State()):
        assert threading.active_count() == before


@pytest.mark.parametrize("address", ["vsock:2:1234", "notify"])
def test_a_socket_of_another_kind_is_said_and_left_alone(address: str) -> None:
    with structlog.testing.capture_logs() as logs:
        notifier = Notifier(address)
        notifier.send(READY=1)

    assert not notifier.connected
    assert [line["address"] for line in logs] == [address]


def test_a_socket_that_is_gone_costs_one_warning(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    notifier = Notifier(str(path))
    with structlog.testing.capture_logs() as logs:
        notifier.send(READY=1)
        notifier.send(WATCHDOG=1)
    assert [line["log_level"] for line in logs] == ["warning"]

    manager = Manager(str(path))
    with contextlib.closing(manager.socket):
        notifier.send(WATCHDOG=1)
        assert manager.next() == {"WATCHDOG": "1"}
    path.unlink()

    with structlog.testing.capture_logs() as logs:
        notifier.send(WATCHDOG=1)
    assert len(logs) == 1, "it is lost anew"


def test_a_manager_that_does_not_read_is_not_waited_for_long(
    manager: Manager, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "_SEND_SECONDS", 0.01)

    with within(SOON), structlog.testing.capture_logs() as logs:
        for _ in range(1000):
            notifier.send(STATUS="x" * 100)
            if logs:
                break

    assert logs, "the queue of a socket is finite"
    assert manager.waiting()
