"""
The contract of the queue, one property after the other, for each implementation.

A queue of names of hosts: a name is queued once, and one worker at a time has it. An
implementation is put below all of this by adding what makes it to `IMPLEMENTATIONS`.
"""

# ruff: noqa: D102 # their names say what they do

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.loop.queue import Queue

KEYS = ("chrysalis", "keanu", "lufta", "shachi")


class Contract(Protocol):
    """What workers and whoever gives them work need of a queue."""

    def add(self, key: str) -> None: ...

    def get(self, timeout: float | None = None) -> str | None: ...

    def done(self, key: str) -> None: ...

    def shut_down(
        self, *, drain: bool = False, timeout: float | None = None
    ) -> bool: ...

    def __len__(self) -> int: ...


Make = Callable[[], Contract]

IMPLEMENTATIONS: dict[str, Make] = {"in this process": Queue[str]}

every = pytest.mark.parametrize("make", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
keys = st.sampled_from(KEYS)
# Add a key, take the next one, or give back one of those that are held.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), keys),
        st.tuples(st.just("get"), st.none()),
        st.tuples(st.just("done"), st.integers(0, 3)),
    ),
    max_size=80,
)
Steps = Sequence[tuple[str, str | int | None]]


@dataclass
class Story:
    """What was done with a queue, and what came of it."""

    queue: Contract
    told: list[tuple[str, str]] = field(default_factory=list)
    held: list[str] = field(default_factory=list)

    def act(self, steps: Steps) -> None:
        for kind, value in steps:
            if kind == "add":
                self.add(str(value))
            elif kind == "get":
                self.get()
            elif self.held:
                self.done(self.held[int(value or 0) % len(self.held)])

    def add(self, key: str) -> None:
        self.queue.add(key)
        self.told.append(("add", key))

    def get(self) -> str | None:
        key = self.queue.get(timeout=0)
        if key is not None:
            assert key not in self.held, "two have it"  # P1
            self.held.append(key)
            self.told.append(("get", key))
        return key

    def done(self, key: str) -> None:
        self.held.remove(key)
        self.queue.done(key)
        self.told.append(("done", key))

    def empty(self) -> list[str]:
        """Work until nothing is left; return what was handed out."""
        found: list[str] = []
        while self.held or len(self.queue):
            for key in tuple(self.held):
                self.done(key)
            while (key := self.get()) is not None:
                found.append(key)
        return found

    def of(self, key: str) -> list[str]:
        return [kind for kind, of in self.told if of == key]


@every
@given(steps=steps)
def test_p1_one_worker_at_a_time_has_a_key(make: Make, steps: Steps) -> None:
    story = Story(make())

    story.act(steps)
    story.empty()

    for key in KEYS:
        had = [kind for kind in story.of(key) if kind != "add"]
        assert had == ["get", "done"] * (len(had) // 2)


@every
@given(key=keys, steps=steps, times=st.integers(1, 5))
def test_p2_adds_while_it_is_held_make_one_more_run(
    make: Make, key: str, steps: Steps, times: int
) -> None:
    story = Story(make())
    story.act(steps)
    story.empty()
    story.add(key)
    assert story.get() == key

    for _ in range(times):
        story.add(key)

    assert story.get() is None, "it begins after it was given back"
    story.done(key)
    assert story.get() == key
    story.done(key)
    assert story.get() is None


@every
@given(steps=steps)
def test_p3_no_add_is_lost(make: Make, steps: Steps) -> None:
    story = Story(make())

    story.act(steps)
    story.empty()

    for key in KEYS:
        last = [kind for kind in story.of(key) if kind != "done"][-1:]
        assert last in ([], ["get"])


@every
@given(steps=steps, later=st.lists(keys))
def test_p4_after_the_end_what_was_queued_is_handed_out_and_no_more(
    make: Make, steps: Steps, later: list[str]
) -> None:
    story = Story(make())
    story.act(steps)
    waited = len(story.queue)

    story.queue.shut_down()
    for key in later:
        story.queue.add(key)

    assert len(story.queue) == waited
    story.empty()
    assert story.queue.get(timeout=None) is None, "who waits is told at once"
    assert story.queue.shut_down(drain=True)


@every
@given(first=st.permutations(KEYS), again=st.lists(keys))
def test_p5_the_order_is_that_of_the_first_adds(
    make: Make, first: list[str], again: list[str]
) -> None:
    story = Story(make())
    for key in [*first, *again]:
        story.add(key)

    assert [story.get() for _ in KEYS] == first
    assert story.get() is None


@every
@given(order=st.permutations(KEYS))
def test_p6_what_was_added_while_held_goes_behind_the_others(
    make: Make, order: list[str]
) -> None:
    story = Story(make())
    held, *others = order
    story.add(held)
    assert story.get() == held
    story.add(held)
    for key in others:
        story.add(key)

    story.done(held)

    assert [story.get() for _ in order] == [*others, held]


@every
@given(steps=steps)
def test_p7_its_length_is_what_could_be_had_now(make: Make, steps: Steps) -> None:
    story = Story(make())
    story.act(steps)
    length = len(story.queue)

    had = 0
    while story.get() is not None:
        had += 1

    assert had == length


@every
@given(key=keys, steps=steps)
def test_p8_what_is_not_held_cannot_be_given_back(
    make: Make, key: str, steps: Steps
) -> None:
    story = Story(make())
    story.act(steps)
    story.empty()

    with pytest.raises(RuntimeError, match=key):
        story.queue.done(key)


@every
@given(order=st.permutations(KEYS))
def test_p8_what_is_never_given_back_keeps_nobody_else_waiting(
    make: Make, order: list[str]
) -> None:
    story = Story(make())
    forgotten, *others = order
    story.add(forgotten)
    assert story.get() == forgotten
    for key in order:
        story.add(key)

    assert [story.get() for _ in others] == others
    for key in others:
        story.done(key)
    assert story.get() is None
    assert not story.queue.shut_down(drain=True, timeout=0)
