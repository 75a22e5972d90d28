"""The queue under real threads; every wait has a deadline."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from typing_extensions import override

from reconciler.loop.queue import Queue

DEADLINE = 60.0


class Workers:
    """Threads that take keys until the queue is shut down, and watch each other."""

    def __init__(self, queue: Queue[int], count: int) -> None:
        self.queue = queue
        self.runs: Counter[int] = Counter()
        self.clashes = 0
        self._holding: set[int] = set()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, daemon=True) for _ in range(count)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.queue.shut_down()
        for thread in self._threads:
            thread.join(DEADLINE)
        assert not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (key := self.queue.get()) is not None:
            with self._lock:
                self.clashes += key in self._holding
                self._holding.add(key)
                self.runs[key] += 1
            self._hold(key)
            with self._lock:
                self._holding.discard(key)
            self.queue.done(key)

    def _hold(self, key: int) -> None:
        """Give the other threads a chance to break in."""


class Rereading(Workers):
    """Workers that read, in each run, a version that producers raise."""

    def __init__(self, queue: Queue[int], count: int) -> None:
        super().__init__(queue, count)
        self.versions: Counter[int] = Counter()
        self.read: Counter[int] = Counter()

    @override
    def _hold(self, key: int) -> None:
        self.read[key] = self.versions[key]


def begin(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def until(true: Callable[[], bool]) -> None:
    """Wait until *true* holds, without sleeping through it."""
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end, "did not come true in time"
        threading.Event().wait(0.001)


def test_many_producers_and_workers_lose_nothing_and_never_share_a_key() -> None:
    queue: Queue[int] = Queue()
    dice = random.Random(1)  # noqa: S311 # a repeatable mixture, not a secret
    scripts = [[dice.randrange(20) for _ in range(3000)] for _ in range(4)]
    with Rereading(queue, 8) as workers:

        def produce(script: list[int]) -> None:
            for step, key in enumerate(script):
                workers.versions[key] = step
                if step % 3:
                    queue.add(key)
                else:
                    queue.add_after(key, step % 5 / 1000)

        # Each producer has keys of its own, so that a version only rises.
        with ThreadPoolExecutor(4) as pool:
            list(
                pool.map(
                    produce,
                    [[key * 4 + n for key in keys] for n, keys in enumerate(scripts)],
                )
            )
        until(lambda: queue.stats().delayed == 0)
        assert queue.shut_down(drain=True, timeout=DEADLINE)

    assert workers.clashes == 0
    assert workers.read == workers.versions
    assert sum(workers.runs.values()) == queue.stats().adds


def test_ten_thousand_adds_while_a_worker_is_busy_make_one_more_run() -> None:
    queue: Queue[int] = Queue()
    queue.add(1)
    assert queue.get(timeout=DEADLINE) == 1
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(queue.add, [1] * 10_000))
    queue.done(1)

    with Workers(queue, 4) as workers:
        assert queue.shut_down(drain=True, timeout=DEADLINE)

    assert workers.runs == {1: 1}


def test_a_worker_that_waits_gets_a_key_when_its_delay_ends() -> None:
    queue: Queue[int] = Queue()
    began = time.monotonic()
    queue.add_after(1, 60)
    with Workers(queue, 3) as workers:
        queue.add_after(2, 0.05)  # must shorten the sleep of those who wait
        until(lambda: workers.runs[2] == 1)

    assert time.monotonic() - began >= 0.05
    assert workers.runs == {2: 1}


def test_a_delay_still_ends_when_the_worker_that_watched_it_is_busy() -> None:
    """The thread that was woken for the delay may take another key instead."""
    queue: Queue[int] = Queue()
    busy = threading.Event()

    class Blocking(Workers):
        @override
        def _hold(self, key: int) -> None:
            if key == 1:
                busy.wait(DEADLINE)

    with Blocking(queue, 2) as workers:
        queue.add_after(2, 0.05)
        queue.add(1)
        try:
            until(lambda: workers.runs[2] == 1)
        finally:
            busy.set()


def test_get_gives_up_after_its_timeout() -> None:
    queue: Queue[int] = Queue()
    began = time.monotonic()

    assert queue.get(timeout=0.05) is None

    assert time.monotonic() - began >= 0.05


def test_shutting_down_wakes_everyone_who_waits() -> None:
    queue: Queue[int] = Queue()
    with Workers(queue, 8):
        pass  # leaving shuts the queue down and joins every thread


def test_a_drain_waits_for_the_last_worker_and_a_second_shutdown_ends_it() -> None:
    queue: Queue[int] = Queue()
    queue.add(1)
    queue.get()
    answers: list[bool] = []
    drainer = begin(
        lambda: answers.append(queue.shut_down(drain=True, timeout=DEADLINE))
    )
    until(lambda: queue._draining)  # noqa: SLF001 # nothing else tells it from outside
    queue.shut_down()
    drainer.join(DEADLINE)
    assert answers == [False]

    drainer = begin(
        lambda: answers.append(queue.shut_down(drain=True, timeout=DEADLINE))
    )
    queue.done(1)
    drainer.join(DEADLINE)
    assert answers == [False, True]
