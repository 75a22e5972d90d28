"""One history for several threads and processes; one attempt per host at a time."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from reconciler.errors import HostBusyError
from reconciler.history import History
from reconciler.model import Attempt, CommitId, HostName, Outcome, StorePath, Verdict
from tests.support.places import Place
from tests.support.wait import patience

KEANU, LUFTA = HostName("keanu"), HostName("lufta")
DEADLINE = 60.0  # seconds
PROLOGUE = """
import subprocess, sys
from reconciler.history import open_history
from reconciler.model import CommitId, HostName, Outcome, StorePath, Verdict
from reconciler.settings import StateSettings

def begin(history, host):
    return history.begin(
        host=HostName(host), commit=CommitId("c0ffee"), verdict=Verdict.DEPLOY,
        source=None, target=StorePath("/nix/store/new-system"), now=0.0,
    )

history = open_history(StateSettings.model_validate_json(sys.argv[1]))
"""
HOLD = """
with history.lock(HostName("keanu")):
    print(begin(history, "keanu").id, flush=True)
    sys.stdin.read()
"""
HOLD_WITH_A_CHILD = """
with history.lock(HostName("keanu")):
    begin(history, "keanu")
    child = subprocess.Popen(["sleep", "60"])
    print(child.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def history(place: Place) -> Iterator[History]:
    with place.opened() as history:
        yield history


@contextmanager
def process(place: Place, script: str) -> Iterator[subprocess.Popen[str]]:
    """Run *script* in another process, which is gone at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", PROLOGUE + script, place.words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def said(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    line = child.stdout.readline().strip()
    assert line, "the child ended instead"
    return line


def begin(history: History, host: HostName) -> Attempt:
    return history.begin(
        host=host,
        commit=CommitId("c0ffee"),
        verdict=Verdict.DEPLOY,
        source=None,
        target=StorePath("/nix/store/new-system"),
        now=0,
    )


def test_threads_write_side_by_side(history: History) -> None:
    def work(number: int) -> Attempt:
        attempt = begin(history, HostName(f"host-{number}"))
        for line in range(10):
            history.log(attempt.id, [f"{number} {line}"], now=0)
            history.statuses()
        return history.end(attempt.id, Outcome.SUCCEEDED, message="", now=1)

    with ThreadPoolExecutor(8) as pool:
        attempts = list(pool.map(work, range(16)))

    assert sorted(a.id for a in history.attempts(limit=99)) == sorted(
        attempt.id for attempt in attempts
    )
    for number, attempt in enumerate(attempts):
        assert history.attempt_log(attempt.id) == [f"{number} {n}" for n in range(10)]


def test_threads_log_to_one_attempt_without_losing_a_line(history: History) -> None:
    attempt = begin(history, KEANU)
    lines = [f"line {number}" for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda line: history.log(attempt.id, [line], now=0), lines))

    assert sorted(history.attempt_log(attempt.id)) == sorted(lines)


def test_processes_make_and_fill_one_database_at_once(place: Place) -> None:
    """All meet an empty directory together, as a daemon and a person may."""
    script = """
for number in range(10):
    history.log(begin(history, "keanu").id, ["x"], now=0.0)
history.close()
"""
    children = [
        subprocess.Popen([sys.executable, "-c", PROLOGUE + script, place.words])
        for _ in range(4)
    ]
    try:
        assert [child.wait(patience(DEADLINE)) for child in children] == [0] * 4
    finally:
        for child in children:
            child.kill()
            child.wait()

    history = place.open()
    assert len(history.attempts(limit=999)) == 40
    history.close()


def test_a_host_is_held_by_one_at_a_time(history: History) -> None:
    with history.lock(KEANU):
        with history.lock(LUFTA):
            pass
        with (
            pytest.raises(HostBusyError, match=r"keanu.*process \d+") as caught,
            history.lock(KEANU),
        ):
            pytest.fail("both hold it")
    assert caught.value.host == KEANU
    with history.lock(KEANU):
        pass


def test_a_lock_is_given_back_when_its_holder_fails(history: History) -> None:
    with pytest.raises(ZeroDivisionError), history.lock(KEANU):
        _ = 1 / 0
    with history.lock(KEANU):
        pass


@pytest.mark.parametrize("name", ["..", ".", "a/b", "ünüsual", "%2e"])
def test_an_odd_name_has_a_lock_of_its_own(
    history: History, place: Place, name: str
) -> None:
    with history.lock(HostName(name)), history.lock(KEANU):
        pass

    names = {path.name for path in (place.folder / "locks").iterdir()}
    assert len(names) == 2
    assert all(name.endswith(".lock") for name in names)


def test_another_process_holds_a_host_until_it_is_killed(
    history: History, place: Place
) -> None:
    with process(place, HOLD) as child:
        said(child)
        with (
            pytest.raises(HostBusyError, match=rf"process {child.pid}\)"),
            history.lock(KEANU),
        ):
            pytest.fail("both hold it")

        child.send_signal(signal.SIGKILL)
        child.wait(patience(DEADLINE))

        with history.lock(KEANU):
            pass


def test_a_child_that_outlives_the_holder_does_not_keep_the_host(
    history: History, place: Place
) -> None:
    with process(place, HOLD_WITH_A_CHILD) as child:
        orphan = int(said(child))
        try:
            child.send_signal(signal.SIGKILL)
            child.wait(patience(DEADLINE))
            with history.lock(KEANU):
                pass
        finally:
            os.kill(orphan, signal.SIGKILL)


def test_attempts_of_the_dead_are_interrupted_and_those_of_the_living_left(
    history: History, place: Place
) -> None:
    abandoned = begin(history, LUFTA)
    with process(place, HOLD) as child:
        running = said(child)

        assert [a.id for a in history.interrupt(now=5)] == [abandoned.id]
        assert [a.id for a in history.unfinished()] == [running]

        child.send_signal(signal.SIGKILL)
        child.wait(patience(DEADLINE))
        (ended,) = history.interrupt(now=6)

    assert ended.id == running
    assert (ended.outcome, ended.ended_at) == (Outcome.INTERRUPTED, 6)
    assert "ended before" in ended.message
    assert history.unfinished() == []
    assert history.interrupt(now=7) == []


def test_a_kill_loses_nothing_that_was_recorded(history: History, place: Place) -> None:
    script = """
attempt = begin(history, "keanu")
number = 0
while True:
    history.log(attempt.id, [str(number)], now=0.0)
    print(attempt.id, number, flush=True)
    number += 1
"""
    with process(place, script) as child:
        for _ in range(50):
            attempt, number = said(child).split()
        child.send_signal(signal.SIGKILL)
        assert child.stdout is not None
        for line in child.stdout.read().splitlines():
            attempt, number = line.split()

    kept = history.attempt_log(attempt)
    assert kept == [str(n) for n in range(len(kept))]
    assert len(kept) > int(number)
