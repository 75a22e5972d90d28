"""The fence on a host, as sh runs it."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from reconciler.errors import FencedError, RemoteError
from reconciler.model import HostName
from reconciler.remote.fence import FencedWriter, script
from reconciler.remote.hosts import HostWriter, OnLine, RemoteResult
from tests.support.wait import patience, wait_until

HERE = HostName("here")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "fence"


def start(folder: Path, number: int, *argv: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["sh", "-c", script(), "fence", str(number), *argv],
        env={**os.environ, "FENCE_DIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, number: int, *argv: str) -> tuple[int, str]:
    with start(folder, number, *argv) as process:
        out, error = process.communicate(timeout=patience(30))
        return process.returncode, out + error


def test_a_smaller_number_than_was_seen_is_refused(folder: Path) -> None:
    assert run(folder, 7, "echo", "seven") == (0, "seven\n")
    assert run(folder, 7, "sh", "-c", "echo again; exit 3") == (3, "again\n")
    assert run(folder, 12, "echo", "twelve") == (0, "twelve\n")

    refused = run(folder, 7, "touch", str(folder / "touched"))

    assert refused == (77, "reconciler-fence: 12 is here, 7 came\n")
    assert not (folder / "touched").exists()
    assert run(folder, 12, "echo", "twelve") == (0, "twelve\n")


def test_it_is_for_root_alone(folder: Path) -> None:
    run(folder, 7, "true")

    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_greater_number_waits_for_what_runs_by_a_smaller_one(folder: Path) -> None:
    """Else the two would change a host at once."""
    began = folder.parent / "began"
    line = f"touch {began}; sleep 1"
    with start(folder, 7, "sh", "-c", line) as first:
        wait_until(began.exists, 30, "the first one to begin")
        before = time.monotonic()

        assert run(folder, 8, "echo", "eight") == (0, "eight\n")

        assert first.wait(0.5) == 0
        assert time.monotonic() - before > 0.5


def test_a_disk_that_takes_nothing_keeps_nobody_off(folder: Path) -> None:
    folder.write_text("no folder")

    assert run(folder, 7, "echo", "seven") == (0, "seven\n")


class Here:
    """A HostWriter for this machine, whose fence is in a folder of the test."""

    host = HERE

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, _script: str, *, what: str, deadline: float) -> str:
        """See HostReader."""
        raise NotImplementedError

    def run(
        self,
        argv: Sequence[str],
        *,
        what: str,
        deadline: float,
        stdin: bytes | None = None,
        on_line: OnLine | None = None,
        check: bool = True,
    ) -> RemoteResult:
        """See HostWriter."""
        assert not check, what
        done = subprocess.run(
            argv,
            input=stdin,
            env={**os.environ, "FENCE_DIR": str(self._folder)},
            capture_output=True,
            timeout=patience(deadline),
            check=False,
        )
        out, error = done.stdout.decode(), done.stderr.decode()
        for line in out.splitlines() if on_line else ():
            on_line(line)  # type: ignore[misc] # there is one
        return RemoteResult(
            status=done.returncode, stdout=out, stderr=error, seconds=0.0
        )


def fenced(folder: Path, number: int) -> HostWriter:
    """Return what changes this machine by a number."""
    return FencedWriter(writer=Here(folder), number=number)


def test_a_refusal_is_an_error_of_its_own(folder: Path) -> None:
    run(folder, 7, "true")
    writer = fenced(folder, 6)

    with pytest.raises(FencedError, match="here: a change was not run: another worker"):
        writer.run(("true",), what="a change", deadline=30)
    with pytest.raises(FencedError):
        writer.run(("true",), what="a change", deadline=30, check=False)


def test_all_else_passes_as_it_is(folder: Path) -> None:
    writer, lines = fenced(folder, 7), list[str]()

    done = writer.run(
        ("sh", "-c", 'cat; echo "$1"; exit 77', "sh", "a 'word'"),
        what="a change",
        deadline=30,
        stdin=b"input\n",
        on_line=lines.append,
        check=False,
    )

    assert (done.status, done.stdout) == (77, "input\na 'word'\n")
    assert lines == ["input", "a 'word'"]
    with pytest.raises(RemoteError, match="a change exited with status 3"):
        writer.run(("sh", "-c", "exit 3"), what="a change", deadline=30)
    assert writer.host == HERE
