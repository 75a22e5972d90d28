"""Ctrl-C, and a closed terminal, while hosts are worked on side by side."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.processes import is_gone
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0

WORK = """
import sys, threading
from types import SimpleNamespace
from reconciler import process
from reconciler.cli.worlds import for_each
from reconciler.errors import StoppingError

here, kind = sys.argv[1:]

def act(host):
    if host == "queued":
        print("queued began", flush=True)
    elif kind == "command":
        print("began", flush=True)
        try:
            script = f"echo $$ > {here}/pid; exec sleep 600"
            process.run(["sh", "-c", script], deadline=600)
        except StoppingError:
            print("told to stop", flush=True)
    else:
        print("began", flush=True)
        threading.Event().wait(600)

world = SimpleNamespace(settings=SimpleNamespace(policy=SimpleNamespace(parallel=1)))
try:
    for_each(world, ["busy", "queued"], act)
except KeyboardInterrupt:
    sys.exit(130)
"""


@contextlib.contextmanager
def working(folder: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", WORK, str(folder), kind],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "began\n"
            yield process
        finally:
            process.kill()


def test_ctrl_c_ends_commands_and_begins_nothing_new(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with working(tmp_path, "command") as process:
        wait_until(lambda: pid.exists() and pid.read_text(), DEADLINE, "the command")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)

    assert process.returncode == 130
    assert "waiting for what runs on hosts" in err
    assert "told to stop" in out
    assert "queued began" not in out
    assert is_gone(int(pid.read_text()))


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    with working(tmp_path, "host") as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert "waiting for what runs on hosts" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)

    assert process.returncode == 130
    assert (out, err) == ("", "")


TELL = """
import os, sys, threading
from pathlib import Path
from rich.live import Live
from reconciler.cli.screen.progress import Progress
from tests.support.wait import wait_until

rounds = 0

def refresh(live, refresh=Live.refresh):
    global rounds
    rounds += 1
    refresh(live)

Live.refresh = refresh
here = Path(sys.argv[1])
progress = Progress()
progress.__enter__()
(here / "began").touch()
sys.stdin.readline()
progress.tell("lufta", "activate")
progress.ended("lufta")
before = rounds
wait_until(
    lambda: rounds >= before + 3 or threading.active_count() == 1,
    30,
    "the table to be drawn again, if anybody does so",
)
(here / "told").touch()
os._exit(0)
"""


@pytest.mark.parametrize("where", [pty.openpty, os.pipe])
def test_hosts_go_on_when_nobody_hears_of_it_any_more(
    tmp_path: Path, where: Callable[[], tuple[int, int]]
) -> None:
    """The terminal was closed, or `head` has seen enough."""
    ours, theirs = where()
    with subprocess.Popen(
        [sys.executable, "-c", TELL, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        try:
            os.close(theirs)
            wait_until((tmp_path / "began").exists, DEADLINE, "the work to begin")
            os.close(ours)
            assert process.stdin is not None
            process.stdin.close()

            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()

    assert (tmp_path / "told").exists()
