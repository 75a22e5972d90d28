"""Lines of an attempt are written together, in order, and none is lost."""

import threading
from collections.abc import Sequence

import pytest

from reconciler.attempt import recorded
from reconciler.attempt.recorded import _Lines
from reconciler.errors import StateError
from tests.support.wait import wait_until


class Log:
    """What was written, one transaction after the other."""

    def __init__(self) -> None:
        self.transactions: list[list[str]] = []
        self.full = False

    def write(self, lines: Sequence[str]) -> None:
        """Write, unless the disk is full."""
        if self.full:
            message = "the disk is full"
            raise StateError(message)
        self.transactions.append([*lines])

    @property
    def lines(self) -> list[str]:
        """All lines."""
        return [line for one in self.transactions for line in one]


def test_what_a_step_prints_is_a_transaction_or_two() -> None:
    log = Log()
    lines = _Lines(log.write)
    printed = [f"{number}" for number in range(5000)]

    with lines.collected():
        for line in printed:
            lines.add(line)

    assert log.lines == printed
    assert len(log.transactions) < 50
    lines.add("after it")
    assert log.transactions[-1] == ["after it"]


def test_what_is_printed_before_a_long_silence_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorded, "TOGETHER", 0.05)
    log = Log()
    lines = _Lines(log.write)

    with lines.collected():
        lines.add("building linux")
        wait_until(lambda: log.lines == ["building linux"], 30, "the line")


def test_a_disk_that_is_full_for_a_while_costs_no_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recorded, "TOGETHER", 0.01)
    log = Log()
    lines = _Lines(log.write)

    with lines.collected():
        log.full = True
        lines.add("first")
        wait_until(lambda: lines._timer is None, 30, "a try")  # noqa: SLF001
        log.full = False
        lines.add("second")

    assert log.lines == ["first", "second"]
    log.full = True
    with pytest.raises(StateError), lines.collected():
        lines.add("third")


def test_lines_of_one_thread_stay_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "TOGETHER", 0.001)
    log = Log()
    lines = _Lines(log.write)

    def talk(name: str) -> None:
        for number in range(500):
            lines.add(f"{name} {number}")

    with lines.collected():
        threads = [threading.Thread(target=talk, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    for name in "ab":
        mine = [line for line in log.lines if line.startswith(name)]
        assert mine == [f"{name} {number}" for number in range(500)]
