"""
What the queue promises, one property each, over any order of calls.

A driver makes the calls with a clock of its own and writes down what happened; the
properties read only that record.
"""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.loop.queue import Queue

KEYS = ["chrysalis", "keanu", "lufta"]
keys = st.sampled_from(KEYS)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call; which of its fields count depends on its name."""

    name: str
    key: str = ""
    seconds: int = 0
    pick: int = 0  # which of the held keys


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What happened: an accepted add, a key handed out, a key given back."""

    name: str
    key: str
    at: float


adds = st.builds(Call, name=st.just("add"), key=keys)
gets = st.builds(Call, name=st.just("get"))
dones = st.builds(Call, name=st.just("done"), pick=st.integers(0, 2))
ticks = st.builds(Call, name=st.just("tick"), seconds=st.integers(1, 5))
afters = st.builds(Call, name=st.just("add_after"), key=keys, seconds=st.integers(1, 9))
calls = st.lists(adds | gets | dones | ticks, max_size=60)
calls_with_delays = st.lists(adds | afters | gets | dones | ticks, max_size=60)


@dataclass
class Driver:
    """Makes calls on a queue and remembers what happened."""

    now: float = 0.0
    held: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    queue: Queue[str] = field(init=False)

    def __post_init__(self) -> None:
        self.queue = Queue(clock=lambda: self.now)

    def run(self, script: list[Call]) -> "Driver":
        """Make all calls of *script*."""
        for call in script:
            getattr(self, f"_{call.name}")(call)
        return self

    def drain(self) -> "Driver":
        """Let workers run until nothing is queued or held."""
        while self.held or len(self.queue):
            self._get(Call(name="get"))
            self._done(Call(name="done"))
        return self

    def keys(self, name: str) -> list[str]:
        """Return the keys to which *name* happened, in order."""
        return [seen.key for seen in self.seen if seen.name == name]

    def _note(self, name: str, key: str) -> None:
        self.seen.append(Seen(name=name, key=key, at=self.now))

    def _add(self, call: Call) -> None:
        self.queue.add(call.key)
        self._note("add", call.key)

    def _add_after(self, call: Call) -> None:
        self.queue.add_after(call.key, call.seconds)

    def _tick(self, call: Call) -> None:
        self.now += call.seconds

    def _get(self, _call: Call) -> None:
        key = self.queue.get(timeout=0)
        if key is not None:
            self.held.append(key)
            self._note("get", key)

    def _done(self, call: Call) -> None:
        if self.held:
            key = self.held.pop(call.pick % len(self.held))
            self.queue.done(key)
            self._note("done", key)


@given(calls_with_delays)
def test_p1_one_worker_at_most_holds_a_key(script: list[Call]) -> None:
    holders: Counter[str] = Counter()
    for seen in Driver().run(script).drain().seen:
        holders[seen.key] += {"get": 1, "done": -1}.get(seen.name, 0)
        assert holders[seen.key] <= 1


@given(keys, st.integers(min_value=1, max_value=50))
def test_p2_adds_while_a_key_is_held_make_one_more_run_after_done(
    key: str, times: int
) -> None:
    queue: Queue[str] = Queue(clock=float)
    queue.add(key)
    assert queue.get(timeout=0) == key
    for _ in range(times):
        queue.add(key)

    assert queue.get(timeout=0) is None
    queue.done(key)
    assert queue.get(timeout=0) == key
    queue.done(key)
    assert queue.get(timeout=0) is None


@given(calls_with_delays)
def test_p3_a_run_begins_after_every_accepted_add(script: list[Call]) -> None:
    owed: set[str] = set()
    for seen in Driver().run(script).drain().seen:
        if seen.name == "add":
            owed.add(seen.key)
        elif seen.name == "get":
            owed.discard(seen.key)
    assert not owed


@given(calls, st.lists(keys))
def test_p4_what_was_queued_at_shutdown_drains_and_later_adds_are_dropped(
    script: list[Call], late: list[str]
) -> None:
    driver = Driver().run(script)
    owed: set[str] = set()
    for seen in driver.seen:
        if seen.name != "done":
            (owed.add if seen.name == "add" else owed.discard)(seen.key)
    driver.queue.shut_down()
    before = len(driver.keys("get"))
    for key in late:
        driver.queue.add(key)
        driver.queue.add_after(key, 1)
    driver.now += 100

    handed_out = driver.drain().keys("get")[before:]

    assert sorted(handed_out) == sorted(owed)
    assert driver.queue.get() is None  # at once, without a timeout


@given(calls)
def test_p5_distinct_keys_come_out_in_the_order_they_went_in(
    script: list[Call],
) -> None:
    order: list[str] = []  # of the first add since the key was last handed out
    held: set[str] = set()
    later: set[str] = set()
    for seen in Driver().run(script).seen:
        match seen.name:
            case "add" if seen.key in held:
                later.add(seen.key)
            case "add" if seen.key not in order:
                order.append(seen.key)
            case "get":
                assert seen.key == order.pop(0)
                held.add(seen.key)
            case "done":
                held.discard(seen.key)
                if seen.key in later:
                    later.discard(seen.key)
                    order.append(seen.key)


@given(st.lists(keys, unique=True, min_size=1), keys)
def test_p6_a_key_added_while_held_goes_behind_all_others(
    others: list[str], key: str
) -> None:
    queue: Queue[str] = Queue(clock=float)
    queue.add(key)
    assert queue.get(timeout=0) == key
    queue.add(key)
    for other in (expected := [name for name in others if name != key]):
        queue.add(other)

    queue.done(key)

    assert [queue.get(timeout=0) for _ in range(len(queue))] == [*expected, key]


@given(calls_with_delays)
def test_p7_the_length_is_what_can_be_got_now(script: list[Call]) -> None:
    driver = Driver().run(script)
    length = len(driver.queue)

    got = [driver.queue.get(timeout=0) for _ in range(length + 1)]

    assert None not in got[:length]
    assert got[length] is None


@given(calls_with_delays, keys)
def test_p8_giving_back_what_is_not_held_is_refused_and_changes_nothing(
    script: list[Call], key: str
) -> None:
    driver = Driver().run(script)
    before = driver.queue.stats()
    if key in driver.held:
        driver.queue.done(key)
        before = driver.queue.stats()

    with pytest.raises(RuntimeError, match=key):
        driver.queue.done(key)

    assert driver.queue.stats() == before


def test_p8_a_key_that_is_never_given_back_stays_blocked() -> None:
    queue: Queue[str] = Queue(clock=float)
    queue.add("keanu")
    queue.get(timeout=0)
    queue.add("keanu")

    assert queue.get(timeout=0) is None
    assert not queue.shut_down(drain=True, timeout=0.01)


@given(st.lists(st.tuples(keys, st.integers(1, 9)), min_size=1))
def test_of_several_delays_the_earliest_end_counts(
    delays: list[tuple[str, int]],
) -> None:
    driver = Driver()
    ends: dict[str, int] = {}
    for key, seconds in delays:
        driver.queue.add_after(key, seconds)
        ends[key] = min(seconds, ends.get(key, seconds))

    for driver.now in range(10):
        due = {key for key, end in ends.items() if end == driver.now}
        assert {driver.queue.get(timeout=0) for _ in due} == due
        assert driver.queue.get(timeout=0) is None


def test_a_delay_that_is_over_stands_before_what_was_added_later() -> None:
    driver = Driver()
    driver.queue.add_after("lufta", 3)
    driver.queue.add_after("keanu", 2)
    driver.now = 5
    driver.queue.add("chrysalis")

    order = [driver.queue.get(timeout=0) for _ in KEYS]

    assert order == ["keanu", "lufta", "chrysalis"]


def test_an_add_cancels_the_wait_and_no_second_run_follows() -> None:
    driver = Driver()
    driver.queue.add_after("keanu", 60)
    driver.queue.add("keanu")
    driver.run([Call(name="get"), Call(name="done")])
    driver.now = 120

    assert driver.queue.get(timeout=0) is None


def test_forgetting_a_delay_tells_whether_there_was_one() -> None:
    driver = Driver()
    driver.queue.add_after("keanu", 60)

    assert driver.queue.forget_delay("keanu")
    assert not driver.queue.forget_delay("keanu")
    driver.now = 120
    assert driver.queue.get(timeout=0) is None


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_delay_of_nothing_is_an_add(seconds: float) -> None:
    driver = Driver()
    driver.queue.add_after("keanu", seconds)

    assert driver.queue.get(timeout=0) == "keanu"
    assert driver.queue.stats().retries == 0


def test_the_figures_tell_who_waits_and_who_works_since_when() -> None:
    waits: list[float] = []
    works: list[float] = []
    now = 0.0
    queue: Queue[str] = Queue(
        clock=lambda: now, waited=waits.append, worked=works.append
    )
    queue.add("chrysalis")
    queue.add("chrysalis")
    queue.add("keanu")
    queue.add_after("lufta", 60)
    now = 2.0
    queue.get(timeout=0)
    now = 5.0

    stats = queue.stats()
    assert (stats.depth, stats.delayed, stats.adds, stats.retries) == (1, 1, 2, 1)
    assert stats.processing == {"chrysalis": 3.0}
    assert (stats.unfinished, stats.longest_running) == (3.0, 3.0)
    assert stats.oldest_waiting == 5.0

    now = 7.0
    queue.done("chrysalis")
    assert (waits, works) == ([2.0], [5.0])
