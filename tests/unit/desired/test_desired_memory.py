"""How many evaluations run at once."""

import resource
import threading
from pathlib import Path

import pytest

from reconciler import process
from reconciler.desired.memory import (
    EVALUATION_BYTES,
    Room,
    available_memory,
    with_first_heap,
)
from tests.support.wait import wait_until

SOON = 20.0


class Evaluations:
    """Evaluations that last until they are told to end, each in a thread."""

    def __init__(self, room: Room) -> None:
        self.running: set[str] = set()
        self._room = room
        self._ends: dict[str, threading.Event] = {}
        self._sizes: dict[str, int] = {}
        self._threads: list[threading.Thread] = []

    def begin(self, *names: str, size: int = 1) -> None:
        """Begin them one by one; those that have no room wait."""
        for name in names:
            self._ends[name] = threading.Event()
            thread = threading.Thread(target=self._run, args=(name, size))
            self._threads.append(thread)
            thread.start()

    def _run(self, name: str, size: int) -> None:
        with self._room.taken(name) as place:
            self.running.add(name)
            self._ends[name].wait(SOON)
            place.measured(size)
        self.running.discard(name)

    def end(self, *names: str) -> None:
        """Let them end."""
        for name in names:
            self._ends[name].set()

    def wait(self, count: int) -> None:
        """Wait until so many run."""
        wait_until(lambda: len(self.running) == count, SOON, f"{count} to run")

    def end_all(self) -> None:
        """End them all."""
        self.end(*self._ends)
        for thread in self._threads:
            thread.join(SOON)
            assert not thread.is_alive()


def measured(room: Room, **sizes: int) -> None:
    for name, size in sizes.items():
        with room.taken(name) as place:
            place.measured(size)


def test_the_first_one_runs_alone_since_nobody_knows_its_size() -> None:
    evaluations = Evaluations(Room(places=4, memory=10))
    evaluations.begin("azure")
    evaluations.wait(1)
    evaluations.begin("keanu", "lufta")
    assert evaluations.running == {"azure"}

    evaluations.end("azure")
    evaluations.wait(2)
    evaluations.end_all()


def test_what_was_measured_before_a_restart_counts_from_the_beginning() -> None:
    room = Room(places=2, memory=12, sizes={"keanu": 4, "lufta": 5, "gone": 0})
    evaluations = Evaluations(room)

    evaluations.begin("keanu", "lufta")

    evaluations.wait(2)
    evaluations.end_all()


def test_there_are_no_more_than_places() -> None:
    room = Room(places=2, memory=100)
    measured(room, azure=1)
    evaluations = Evaluations(room)
    evaluations.begin("azure", "keanu", "lufta")
    evaluations.wait(2)
    (waits,) = {"azure", "keanu", "lufta"} - evaluations.running
    evaluations.end(*evaluations.running)
    wait_until(lambda: waits in evaluations.running, SOON, "the third one")
    evaluations.end_all()


def test_one_that_reads_all_hosts_gets_the_room_that_it_takes() -> None:
    """`nodes`: it takes as much as all of them; three of 2 GiB are not 6."""
    room = Room(places=8, memory=12)
    measured(room, azure=2, keanu=2, monitoring=7)
    evaluations = Evaluations(room)
    evaluations.begin("monitoring", size=7)
    evaluations.wait(1)
    evaluations.begin("azure")
    evaluations.wait(2)
    evaluations.begin("keanu")
    assert evaluations.running == {"monitoring", "azure"}

    evaluations.end("azure")
    wait_until(lambda: "keanu" in evaluations.running, SOON, "keanu to run")
    evaluations.end_all()


def test_an_unknown_one_is_taken_for_as_large_as_the_largest() -> None:
    room = Room(places=8, memory=12)
    measured(room, azure=2, monitoring=7)
    evaluations = Evaluations(room)
    evaluations.begin("azure")
    evaluations.wait(1)
    evaluations.begin("new")
    evaluations.wait(2)
    evaluations.begin("newer")
    assert len(evaluations.running) == 2
    evaluations.end_all()


def test_each_may_take_its_part_and_all_of_them_no_more_than_there_is() -> None:
    room = Room(places=4, memory=100)
    with room.taken("first") as place:
        assert (place.limit, place.is_all) == (100, True)
        place.measured(60)
    with room.taken("first") as large:
        assert (large.limit, large.is_all) == (75, False)
    measured(room, small=4)
    with room.taken("small") as small, room.taken("first") as large:
        assert (small.limit, large.limit) == (25, 75)


def test_who_had_too_little_gets_all_and_waits_for_it() -> None:
    room = Room(places=4, memory=100, sizes={"azure": 4, "keanu": 4})
    with room.taken("azure"):
        given: list[int] = []

        def alone() -> None:
            with room.taken("keanu", alone=True) as place:
                given.append(place.limit)

        thread = threading.Thread(target=alone)
        thread.start()
        thread.join(0.1)
        assert given == []
    thread.join(SOON)
    assert given == [100]


def test_one_that_is_too_large_runs_alone() -> None:
    room = Room(places=8, memory=10)
    measured(room, azure=2, monitoring=70)
    evaluations = Evaluations(room)
    evaluations.begin("azure", size=2)
    evaluations.wait(1)
    evaluations.begin("monitoring", size=70)
    assert evaluations.running == {"azure"}
    evaluations.end("azure")
    wait_until(lambda: evaluations.running == {"monitoring"}, SOON, "it to run")
    evaluations.end_all()


def test_what_a_command_took_is_known() -> None:
    """No less than what we had ourselves when it began: Linux counts that as well."""
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    size = ours + (64 << 20)
    small = process.run(["python3", "-c", "pass"], deadline=60)
    large = process.run(["python3", "-c", f"x = b'x' * {size}"], deadline=60)

    assert 0 < small.peak < size < large.peak < size + (64 << 20)


# --- what there is ---------------------------------------------------------------


def files(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_free_memory_is_read_in_kibibytes(tmp_path: Path) -> None:
    files(tmp_path, meminfo="MemTotal: 9 kB\nMemAvailable:    4096 kB\n")
    none = tmp_path / "none"

    assert available_memory(tmp_path / "meminfo", none, none) == 4 << 20


def test_unknown_memory_allows_one_evaluation(tmp_path: Path) -> None:
    files(tmp_path, meminfo="MemTotal: 9 kB\n")
    none = tmp_path / "none"

    assert available_memory(none, none, none) == EVALUATION_BYTES
    assert available_memory(tmp_path / "meminfo", none, none) == EVALUATION_BYTES


def test_a_limit_of_the_service_counts(tmp_path: Path) -> None:
    files(
        tmp_path,
        meminfo="MemAvailable: 4096 kB\n",
        cgroup="0::/system.slice/reconciler.service\n",
        groups__system_slice__memory_max="3000000\n",
        groups__system_slice__memory_current="1000000\n",
        groups__system_slice__reconciler_service__memory_max="max\n",
        groups__system_slice__reconciler_service__memory_current="900000\n",
    )

    found = available_memory(
        tmp_path / "meminfo", tmp_path / "cgroup", tmp_path / "groups"
    )

    assert found == 2_000_000


@pytest.mark.parametrize(
    ("limit", "first"),
    [(8 << 30, 1 << 30), (1 << 30, 512 << 20), (768 << 20, None), (1 << 20, None)],
)
def test_nix_begins_with_a_part_of_what_it_may_take(
    monkeypatch: pytest.MonkeyPatch, limit: int, first: int | None
) -> None:
    monkeypatch.delenv("GC_INITIAL_HEAP_SIZE", raising=False)
    before = () if first is None else ("env", f"GC_INITIAL_HEAP_SIZE={first}")

    assert with_first_heap(["nix"], limit) == (*before, "nix")


def test_what_somebody_chose_to_begin_with_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GC_INITIAL_HEAP_SIZE", "1000")

    assert with_first_heap(["nix"], 8 << 30) == ("nix",)
