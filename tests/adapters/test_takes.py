"""Who has which host, in a real PostgreSQL."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import HostBusyError
from reconciler.history import History
from reconciler.model import CommitId, HostName, StorePath, Verdict
from tests.support.postgresql import Cluster

LUFTA, KEANU = HostName("lufta"), HostName("keanu")


@pytest.fixture
def url(postgresql: Cluster) -> str:
    return postgresql.new()


class Process:
    """What stands for a worker: a history and a line of its own."""

    def __init__(self, url: str, folder: Path, name: str) -> None:
        self.history = History.open(url, locks=folder / name)
        self.line = self.history.line()
        self.line.id = name
        self.line.begin()
        self.line.beat(leads=False)

    def close(self) -> None:
        """End its connections."""
        self.line.drop()
        self.history.close()


@pytest.fixture
def both(url: str, tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    with (
        contextlib.closing(Process(url, tmp_path, "one")) as one,
        contextlib.closing(Process(url, tmp_path, "two")) as two,
    ):
        yield one, two


def number(process: Process, host: HostName = LUFTA) -> int:
    with process.history.lock(host):
        found = process.history.takes.number(host)
    assert found is not None
    return found


def begin(process: Process) -> None:
    process.history.begin(
        host=LUFTA,
        commit=CommitId("c" * 40),
        verdict=Verdict.DEPLOY,
        source=None,
        target=StorePath("/nix/store/x"),
        now=1.0,
    )


def test_numbers_only_grow(both: tuple[Process, Process]) -> None:
    one, two = both
    found = []
    for process in (one, two, one, two):
        process.line.take([LUFTA, KEANU])
        assert process.line.taken() == {LUFTA, KEANU}
        found.append(number(process))
    before = number(two)
    two.line.take([LUFTA])  # it has it

    assert found == sorted(set(found))
    assert number(two) == before
    assert one.line.taken() == set()


def test_where_the_table_is_lost_hosts_know_an_older_number(
    both: tuple[Process, Process], postgresql: Cluster, url: str
) -> None:
    both[0].line.take([LUFTA])
    before = number(both[0])
    postgresql.run("DELETE FROM takes", url)

    both[1].line.take([LUFTA])

    assert before <= number(both[1]) <= time.time() + 2  # noqa: TID251
    assert before > 1e9


def test_only_who_has_a_host_may_begin_to_change_it(
    both: tuple[Process, Process],
) -> None:
    one, two = both
    one.line.take([LUFTA])

    with (
        pytest.raises(HostBusyError, match="lufta is being changed by worker one, "),
        two.history.lock(LUFTA),
    ):
        pass
    with pytest.raises(HostBusyError), one.history.lock(KEANU):
        pass


def test_who_lost_a_host_while_it_was_locked_begins_nothing(
    both: tuple[Process, Process],
) -> None:
    """As one that was frozen between the two."""
    one, two = both
    one.line.take([LUFTA])
    with one.history.lock(LUFTA):
        held = one.history.takes.number(LUFTA)
        two.line.take([LUFTA])

        with pytest.raises(HostBusyError, match="worker two"):
            begin(one)

        # What is under way goes by the number of before.
        assert one.history.takes.number(LUFTA) == held
        one.line.take([LUFTA])
        assert one.history.takes.number(LUFTA) == held
        with pytest.raises(HostBusyError):
            begin(one)
    with one.history.lock(LUFTA):
        begin(one)


def test_a_command_changes_a_host_by_the_number_of_whoever_has_it(
    both: tuple[Process, Process], url: str, tmp_path: Path
) -> None:
    with contextlib.closing(History.open(url, locks=tmp_path / "three")) as history:
        with history.lock(LUFTA):
            assert history.takes.number(LUFTA) is None
        both[0].line.take([LUFTA])
        with history.lock(LUFTA):
            assert history.takes.number(LUFTA) is not None


def test_what_is_rung_is_heard(both: tuple[Process, Process]) -> None:
    one, two = both
    two.line.await_news(0)
    one.line.ring("look")

    assert two.line.await_news(10) == {"look"}
    assert two.line.await_news(0) == set()


def test_all_who_share_a_database_have_one_name_on_hosts(
    both: tuple[Process, Process],
) -> None:
    one, two = both

    assert one.history.driver("c", settle=False) == "c"
    assert one.history.driver("a", settle=True) == "a"
    assert two.history.driver("b", settle=True) == "a"
    assert two.history.driver("b", settle=False) == "a"


def test_a_file_is_shared_with_nobody(tmp_path: Path) -> None:
    with contextlib.closing(History.open(tmp_path / "history.sqlite")) as history:
        assert history.driver("a", settle=True) == "a"
        assert history.driver("b", settle=True) == "b"
        assert history.workers.all() == []
        with history.lock(LUFTA):
            assert history.takes.number(LUFTA) is None
