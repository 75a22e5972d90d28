"""What hosts say by themselves, against a real sshd."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from reconciler.errors import RemoteError
from reconciler.model import HostName
from reconciler.remote import ears, link
from reconciler.remote.connections import Connections
from tests.support import sshd as sshds
from tests.support.sshd import Sshd, connected, running
from tests.support.wait import patience, wait_until

HOST = HostName("lufta")
ECHO = "while read -r line; do printf '%s\\n' \"$line\"; done"
SAYS = f"echo one; echo; echo two; {ECHO}"


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """One that the test may break."""
    with running(tmp_path / "sshd") as sshd:
        yield sshd


@pytest.fixture
def connections(sshd: Sshd) -> Iterator[Connections]:
    with connected(sshd) as connections:
        yield connections


class Heard:
    """What was heard, in order."""

    def __init__(self) -> None:
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def __call__(self, said: str | None) -> None:
        """Hear a line, or the end."""
        self._said.put(said)

    def next(self) -> str | None:
        """Return what was heard next."""
        return self._said.get(timeout=patience(10))

    @property
    def nothing(self) -> bool:
        """Whether there is nothing more."""
        return self._said.empty()


def read(connections: Connections, sshd: Sshd) -> str:
    reader = connections.reader(HOST, sshd.target)
    return reader.read("echo here", what="a look", deadline=10.0)


def test_lines_are_heard_beside_looks_over_one_connection(
    connections: Connections, sshd: Sshd
) -> None:
    heard = Heard()

    assert connections.listen(HOST, sshd.target, SAYS, heard)

    assert [heard.next(), heard.next()] == ["one", "two"]
    assert read(connections, sshd) == "here\n"
    assert not connections.listen(HOST, sshd.target, SAYS, heard)
    assert heard.nothing
    assert connections.listen(HOST, sshd.target, f"echo other; {ECHO}", heard)
    assert heard.next() == "other"
    assert heard.nothing, "the one before has ended at our wish"


def test_a_connection_does_not_grow_with_what_it_was_used_for(
    connections: Connections, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paramiko kept something of each command: of 3,000 a day on each host."""
    monkeypatch.setattr(link, "LATE", 4)
    before, heard = set(threading.enumerate()), Heard()
    connections.listen(HOST, sshd.target, SAYS, heard)
    assert [heard.next(), heard.next()] == ["one", "two"]

    for _ in range(12):
        assert read(connections, sshd) == "here\n"

    started = set(threading.enumerate()) - before
    (transport,) = (one for one in started if isinstance(one, paramiko.Transport))
    spare = 1 + ears.SPARE_SESSIONS
    assert len(transport.channels_seen) <= spare + link.LATE
    # What comes late of the bell, which is older than all that was forgotten:
    connections.ignore(HOST)
    assert read(connections, sshd) == "here\n"
    assert transport.is_active(), "the connection is the same one still"


def test_a_command_that_ends_is_heard_to_the_last_word(
    connections: Connections, sshd: Sshd
) -> None:
    heard = Heard()

    connections.listen(HOST, sshd.target, "echo why >&2; exit 1", heard)

    assert [heard.next(), heard.next()] == ["why", None]
    assert not connections.lost()


def test_a_command_that_is_killed_is_over_though_its_output_is_held_open(
    connections: Connections, sshd: Sshd
) -> None:
    heard = Heard()

    connections.listen(HOST, sshd.target, "sleep 60 & echo on; kill -9 $$", heard)

    assert heard.next() == "on"
    last = heard.next()
    assert (heard.next() if last == "Killed" else last) is None


def test_a_connection_that_ends_is_heard(connections: Connections, sshd: Sshd) -> None:
    heard = Heard()
    connections.listen(HOST, sshd.target, SAYS, heard)
    assert [heard.next(), heard.next()] == ["one", "two"]

    sshd.end_sessions()

    assert heard.next() is None
    wait_until(connections.lost, 10.0, "the connection to be known as lost")


def test_a_host_that_says_nothing_any_more_is_let_go(
    connections: Connections, sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ears, "SILENT_AFTER", patience(1.0))
    monkeypatch.setattr(ears, "SILENCE_CHECK", 0.1)
    beats = f"while sleep 0.1; do echo; done & echo on; {ECHO}"
    heard = Heard()
    connections.listen(HOST, sshd.target, beats, heard)
    assert heard.next() == "on"

    sshd.freeze()
    try:
        assert heard.next() is None
        wait_until(connections.lost, 10.0, "the connection to be known as lost")
    finally:
        sshd.thaw()


def test_who_is_ignored_is_not_heard_and_its_command_ends(
    connections: Connections, sshd: Sshd, tmp_path: Path
) -> None:
    ended, heard = tmp_path / "ended", Heard()
    connections.listen(HOST, sshd.target, f"echo on; {ECHO}; touch {ended}", heard)
    assert heard.next() == "on"

    connections.ignore(HOST)

    wait_until(ended.exists, 10.0, "the command to end")
    assert heard.nothing


def test_a_server_with_too_few_sessions_keeps_them_for_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = sshds.CONFIG.replace("MaxSessions 100", "MaxSessions 2")
    monkeypatch.setattr(sshds, "CONFIG", few)
    with running(tmp_path / "few") as sshd, connected(sshd) as connections:
        with pytest.raises(RemoteError, match="MaxSessions"):
            connections.listen(HOST, sshd.target, SAYS, Heard())

        assert read(connections, sshd) == "here\n"
