"""The queue against a model that is too plain to be wrong, step by step."""

# ruff: noqa: D102 # a rule's name says what it does

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from reconciler.loop.queue import Queue
from tests.support.budget import examples

keys = st.sampled_from(["chrysalis", "keanu", "lufta", "shachi"])
delays = st.integers(min_value=-1, max_value=8).map(float)


@dataclass
class Model:
    """The contract in lists, with nothing clever; times are whole seconds."""

    now: float = 0.0
    queued: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)  # added while they were held
    held: list[str] = field(default_factory=list)
    delayed: dict[str, float] = field(default_factory=dict)
    shut: bool = False
    adds: int = 0

    def mark(self, key: str) -> None:
        if key in self.queued or key in self.again:
            return
        self.adds += 1
        (self.again if key in self.held else self.queued).append(key)

    def add(self, key: str) -> None:
        if not self.shut:
            self.delayed.pop(key, None)
            self.mark(key)

    def add_after(self, key: str, seconds: float) -> None:
        if seconds <= 0:
            self.add(key)
        elif not self.shut:
            due = self.now + seconds
            self.delayed[key] = min(due, self.delayed.get(key, due))

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            for key in [k for k, due in self.delayed.items() if due == self.now]:
                del self.delayed[key]
                self.mark(key)

    def get(self) -> str | None:
        if not self.queued:
            return None
        self.held.append(self.queued.pop(0))
        return self.held[-1]

    def done(self, key: str) -> None:
        self.held.remove(key)
        if key in self.again:
            self.again.remove(key)
            self.queued.append(key)


class QueueAgainstModel(RuleBasedStateMachine):
    """Do the same to both; they must answer the same."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.waits: list[float] = []
        self.queue: Queue[str] = Queue(
            clock=lambda: self.model.now, waited=self.waits.append
        )

    @rule(key=keys)
    def add(self, key: str) -> None:
        self.model.add(key)
        self.queue.add(key)

    @rule(key=keys, seconds=delays)
    def add_after(self, key: str, seconds: float) -> None:
        self.model.add_after(key, seconds)
        self.queue.add_after(key, seconds)

    @rule(key=keys)
    def forget_delay(self, key: str) -> None:
        expected = self.model.delayed.pop(key, None) is not None
        assert self.queue.forget_delay(key) is expected

    @rule(seconds=st.integers(min_value=1, max_value=10))
    def pass_time(self, seconds: int) -> None:
        self.model.pass_time(seconds)

    @rule()
    def get(self) -> None:
        assert self.queue.get(timeout=0) == self.model.get()

    @precondition(lambda self: self.model.held)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.model.held))
        self.model.done(key)
        self.queue.done(key)

    @precondition(lambda self: len(self.model.delayed) + len(self.model.queued) > 1)
    @rule()
    def shut_down(self) -> None:
        self.model.shut = True
        self.model.delayed.clear()
        idle = self.queue.shut_down()
        assert idle is (not self.model.queued and not self.model.held)

    @invariant()
    def tells_the_same(self) -> None:
        stats = self.queue.stats()
        assert len(self.queue) == len(self.model.queued)
        assert stats.depth == len(self.model.queued) + len(self.model.again)
        assert stats.delayed == len(self.model.delayed)
        assert stats.adds == self.model.adds
        assert sorted(stats.processing) == sorted(self.model.held)

    @invariant()
    def times_are_never_negative(self) -> None:
        stats = self.queue.stats()
        assert stats.oldest_waiting >= 0
        assert stats.longest_running >= 0
        assert stats.unfinished >= stats.longest_running
        assert all(seconds >= 0 for seconds in self.waits)


TestQueueAgainstModel = QueueAgainstModel.TestCase
TestQueueAgainstModel.settings = settings(
    max_examples=examples(75), stateful_step_count=60, deadline=None
)
