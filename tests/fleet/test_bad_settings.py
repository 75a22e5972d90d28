"""Settings, state and ports that do not do: the program ends, and says what to mend."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.extra import flat
from tests.support.fleet import Fleet
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

COMMANDS = ["run", "status", "check"]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Give settings and a repository; none of its hosts is there."""
    fleet = Fleet(path=tmp_path / "fleet")
    fleet.path.mkdir()
    fleet.settings.write_text("ssh: {connect_timeout: 1s}\n")
    with Rig(tmp_path, fleet) as rig:
        yield rig


@pytest.mark.parametrize("command", COMMANDS)
def test_wrong_settings_are_told_with_file_line_and_key(rig: Rig, command: str) -> None:
    with rig.settings.open("a") as file:
        file.write("polcy: {mode: sometimes}\n")
    line = rig.settings.read_text().count("\n")

    done = rig.run(command, status=1)

    said = flat(done.stdout + done.stderr)
    assert f"{rig.settings}:{line}: polcy: is no setting" in said
    assert "did you mean policy?" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("repository: [", ":1: ", id="no YAML"),
        pytest.param("", ":1: repository: is missing", id="empty"),
        pytest.param(
            "repository: {url: /x}\nhttp: {listen: nowhere}\n",
            ":2: http.listen: ",
            id="no address",
        ),
        pytest.param(
            "repository: {url: /x}\npolicy:\n  interval: soon\n",
            ":3: policy.interval: ",
            id="no duration",
        ),
    ],
)
def test_unreadable_settings_are_told_with_file_and_line(
    rig: Rig, text: str, told: str
) -> None:
    rig.settings.write_text(text)

    said = rig.run("run", status=1).stderr

    assert f"{rig.settings}{told}" in flat(said)
    assert "Traceback" not in said


def test_settings_that_are_not_there_are_told(rig: Rig) -> None:
    rig.settings.unlink()

    said = flat(rig.run("run", status=1).stderr)

    assert f"{rig.settings}: there is no such file" in said


def test_a_port_that_is_taken_is_told(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", rig.port)):
        said = flat(rig.run("run", status=1).stderr)

    assert f"http.listen: cannot listen at 127.0.0.1:{rig.port}" in said
    assert "Address already in use" in said


def test_a_second_daemon_on_one_state_directory_is_refused(rig: Rig) -> None:
    rig.push("First")
    rig.run_daemon()

    said = flat(rig.run("run", status=1).stderr)

    assert f"another daemon runs with the state directory {rig.state}" in said
    assert rig.healthy()


def test_a_state_directory_that_cannot_be_made_is_told(rig: Rig) -> None:
    rig.state.write_text("a file is in its place")

    said = flat(rig.run("run", status=1).stderr)

    assert f"cannot make the state directory {rig.state}: File exists" in said


def test_a_state_directory_that_cannot_be_written_is_told(rig: Rig) -> None:
    with mounted(rig.state, "ro"):
        said = flat(rig.run("run", status=1).stderr)

    assert f"the state directory {rig.state} is not writable" in said
    assert "Traceback" not in said


def test_a_state_directory_that_is_full_is_survived(rig: Rig) -> None:
    """Every look fails and is made again; the first one that can succeeds."""
    with mounted(rig.state):
        rig.push("First")
        rig.run_daemon()
        wait_until(rig.status, DEADLINE, "a first look")
        fill(rig.state / "filler")
        seen = rig.log.stat().st_size
        (rig.repository.work / "large").write_bytes(os.urandom(1 << 20))
        head = rig.push("More than there is room for")

        def told() -> bool:
            log = rig.log.read_text()[seen:]
            return "No space left" in log or "disk is full" in log

        wait_until(told, DEADLINE, "the log to tell of the full disk")
        assert rig.healthy()
        (rig.state / "filler").unlink()
        rig.push("There is room again, so look")

        wait_until(
            lambda: (
                {row["commit"] for row in rig.status().values()}
                == {rig.repository.head}
            ),
            DEADLINE,
            "the hosts to be looked at for the new commit",
        )
        assert head != rig.repository.head
        assert "Traceback" not in rig.log.read_text()
        assert rig.stop_daemon() == 0


def test_a_database_that_is_damaged_is_told(rig: Rig) -> None:
    rig.state.mkdir()
    file = rig.state / "history.sqlite"
    file.write_bytes(b"no database at all\n" * 1000)

    said = flat(rig.run("run", status=1).stderr)

    assert f"{file}: it is not a database" in said
    assert "move it away" in said


def fill(file: Path) -> None:
    """Write *file* until its file system has no room left."""
    with file.open("wb", buffering=0) as sink, contextlib.suppress(OSError):
        while sink.write(bytes(1 << 16)):
            pass


@contextlib.contextmanager
def mounted(path: Path, *options: str) -> Iterator[None]:
    """Make *path* a small file system of its own."""
    path.mkdir()
    words = ["-t", "tmpfs", "-o", ",".join(["size=16m", *options]), "tmpfs", str(path)]
    done = subprocess.run(
        ["mount", *words], capture_output=True, text=True, check=False, timeout=30
    )
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr}")
    try:
        yield
    finally:
        # Lazily: a test that failed may have left a daemon in it.
        subprocess.run(["umount", "--lazy", path], check=True, timeout=30)
