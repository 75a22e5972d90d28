"""The queue's figures, read at each scrape, under client-go's names."""

from collections.abc import Callable, Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override


class QueueReading(Protocol):
    """What we read of a queue; `reconciler.loop.queue.QueueStats` has it."""

    @property
    def depth(self) -> int: ...  # noqa: D102
    @property
    def delayed(self) -> int: ...  # noqa: D102
    @property
    def adds(self) -> int: ...  # noqa: D102
    @property
    def retries(self) -> int: ...  # noqa: D102
    @property
    def unfinished(self) -> float: ...  # noqa: D102
    @property
    def longest_running(self) -> float: ...  # noqa: D102
    @property
    def oldest_waiting(self) -> float: ...  # noqa: D102


_GAUGES = (
    ("depth", "depth", "Hosts that wait for a worker, now or once theirs is done."),
    ("delayed", "delayed", "Hosts whose next look is due later."),
    (
        "unfinished_work_seconds",
        "unfinished",
        "Seconds that the passes now running have taken so far, summed.",
    ),
    (
        "longest_running_processor_seconds",
        "longest_running",
        "Seconds that the longest of the passes now running has taken so far.",
    ),
    (
        "oldest_waiting_seconds",
        "oldest_waiting",
        "Seconds since the first of the waiting hosts was put on the queue.",
    ),
)
_COUNTERS = (
    ("adds", "adds", "Hosts put on the queue, leaving out those already on it."),
    ("retries", "retries", "Hosts put on the queue for a later time."),
)


class QueueCollector(Collector):
    """Reads the queue that is being watched; zeros until there is one."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.read: Callable[[], QueueReading] | None = None

    @override
    def collect(self) -> Iterator[Metric]:
        reading = self.read() if self.read else None
        for name, field, text in _GAUGES:
            value = getattr(reading, field, 0.0)
            yield GaugeMetricFamily(f"{self._prefix}{name}", text, value=value)
        for name, field, text in _COUNTERS:
            value = getattr(reading, field, 0.0)
            yield CounterMetricFamily(f"{self._prefix}{name}", text, value=value)
