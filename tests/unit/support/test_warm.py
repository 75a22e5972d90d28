"""What is forked from a process that has all imported is a program like any other."""

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from tests.support import warm
from tests.support.processes import is_gone
from tests.support.wait import wait_until

RECONCILER = [sys.executable, "-m", "reconciler"]


def test_it_prints_and_ends_as_the_program_itself() -> None:
    words = ["-c", "/none", "plan"]
    forked = warm.run([*RECONCILER, *words], timeout=60)
    itself = subprocess.run(
        [*RECONCILER, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert forked.returncode == itself.returncode == 1
    assert forked.stderr == itself.stderr
    assert forked.stdout == itself.stdout == ""


def test_it_has_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILER_CONFIG", "/one")
    first = warm.run([*RECONCILER, "plan"], timeout=60)
    monkeypatch.delenv("RECONCILER_CONFIG")
    second = warm.run([*RECONCILER, "plan"], timeout=60)
    third = warm.run([*RECONCILER, "plan"], timeout=60, env={"RECONCILER_CONFIG": "/3"})

    assert "/one:" in first.stderr
    assert "/etc/reconciler/reconciler.yaml:" in second.stderr
    assert "/3:" in third.stderr
    assert "RECONCILER_CONFIG" not in os.environ


def test_it_is_ended_by_a_signal_and_by_the_end_of_its_starter() -> None:
    starter = warm.Starter()
    argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"]
    with tempfile.TemporaryFile() as file:
        one = starter.start(argv, (file, file), session=True)
        other = starter.start(argv, (file, file))
    wait_until(lambda: os.getsid(one.pid) == one.pid, 20, "a session of its own")
    assert one.poll() is None

    one.kill()

    assert one.wait(timeout=60) == -signal.SIGKILL
    assert other.poll() is None
    starter.close()
    wait_until(lambda: is_gone(other.pid), 20, "it to end with its starter")
    with pytest.raises(AssertionError, match="who starts"):
        other.wait()
