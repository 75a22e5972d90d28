"""
Every metric family with its name, labels and help.

Labels come from closed sets. What there is of each host is `reconciler.metrics.hosts`.
"""

from collections.abc import Sequence

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

from reconciler.messages import Kind
from reconciler.metrics.queue import QueueCollector

PREFIX = "reconciler_"
WORKQUEUE = f"{PREFIX}workqueue_"

PHASE_BUCKETS = (
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    *(30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0),
)
REBOOT_BUCKETS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
LEAD_BUCKETS = (
    *(1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0),
)
QUEUE_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 900.0, 1800.0)

# A series per series that says when it was made would double the scrape, and
# Prometheus does not use them.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


NOTIFIED = (*(kind.value for kind in Kind), "commit-status")
"""What is sent: the kinds of messages, and commit statuses."""


class Families:
    """The metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.labels: dict[str, tuple[str, ...]] = {}  # by name without suffix
        self._about_keys()
        self._about_work()
        self._about_the_repository()
        self._about_notifications()
        self._about_caches()
        self._about_the_web()
        self._about_the_program()

    def _about_keys(self) -> None:
        self.key_uploads = self._counter(
            "key_uploads",
            "Keys that were to be delivered, by what became of them.",
            "result",
        )
        self.reboot_to_active = self._histogram(
            "reboot_to_active_seconds",
            "From the first answer over SSH after a reboot until every unit that should"
            " be active is.",
            buckets=REBOOT_BUCKETS,
        )

    def _about_work(self) -> None:
        self.path_changes = self._counter(
            "path_changes",
            "Deployments of another path with which no unit or key differs.",
        )
        self.rollback_reasons = self._counter(
            "rollback_reasons",
            "Attempts after which a host went back to its former system, by reason.",
            "reason",
        )
        self.health_gate = self._histogram(
            "health_gate_seconds",
            "From the end of a switch until the new system was found healthy or not.",
            buckets=PHASE_BUCKETS,
        )
        self.phase_duration = self._histogram(
            "phase_duration_seconds",
            "How long each phase of a pass took.",
            *("phase",),
            buckets=PHASE_BUCKETS,
        )
        self.commit_to_converged = self._histogram(
            "commit_to_converged_seconds",
            "From seeing a commit until a host that it was deployed to is in sync; not"
            " of hosts that were held, or waited for a person, meanwhile.",
            buckets=LEAD_BUCKETS,
        )
        self.queue_duration = self._histogram(
            "workqueue_queue_duration_seconds",
            "How long hosts waited on the queue for a worker.",
            buckets=QUEUE_BUCKETS,
        )
        self.work_duration = self._histogram(
            "workqueue_work_duration_seconds",
            "How long workers kept a host.",
            buckets=QUEUE_BUCKETS,
        )
        self.queue = QueueCollector(WORKQUEUE)
        self.registry.register(self.queue)

    def _about_the_repository(self) -> None:
        self.fetches = self._counter(
            "fetches", "Looks at the repository, whether they worked or not."
        )
        self.fetch_failures = self._counter(
            "fetch_failures", "Looks at the repository that failed."
        )
        self.fetch_failing = self._gauge(
            "fetch_failing",
            "Whether the last look at the repository failed; hosts are kept as the last"
            " commit that was read says.",
        )
        self.last_fetch = self._gauge(
            "last_fetch_timestamp_seconds",
            "When the repository was last read; 0 if not since the start.",
        )
        self.look_started = self._gauge(
            "look_started_timestamp_seconds",
            "When the look at the repository began that is under way; 0 while none is.",
        )
        self.commit_info = self._gauge(
            "commit_info",
            "Always 1: the commit that hosts are brought to.",
            *("commit", "branch"),
        )
        self.commit_withheld = self._gauge(
            "commit_withheld",
            "Whether the newest commit waits for a person: it removes too many hosts.",
        )
        self.commit_untrusted = self._gauge(
            "commit_untrusted",
            "Whether the newest commit may not count: it, or one before it, is not"
            " signed as the settings ask, or it takes back what counted.",
        )
        self.fallback = self._gauge(
            "repository_fallback",
            "Whether the last look had to read a fall-back of the repository.",
        )
        self.commit_timestamp = self._gauge(
            "commit_timestamp_seconds",
            "When that commit was made, by its committer's clock; 0 before the first.",
        )

    def _about_notifications(self) -> None:
        self.notifications = self._counter(
            "notifications",
            "Messages and commit statuses, counted for each target, by what became of"
            " them; failed counts tries.",
            *("kind", "result"),
        )
        self.notifications_pending = self._gauge(
            "notifications_pending",
            "Messages and commit statuses that no target has accepted yet.",
        )
        self.notifications_oldest = self._gauge(
            "notifications_oldest_pending_timestamp_seconds",
            "When the oldest of those was written; 0 while there is none.",
        )

    def _about_caches(self) -> None:
        self.cache_pushes = self._counter(
            "cache_pushes",
            "Systems that were to be pushed to a binary cache, by what became of it;"
            " failed counts tries.",
            *("cache", "result"),
        )
        self.cache_pending = self._gauge(
            "cache_pending",
            "Systems that hosts should run and that a binary cache was not given yet.",
            "cache",
        )

    def _about_the_web(self) -> None:
        self.webhook_requests = self._counter(
            "webhook_requests",
            "Webhook deliveries, by what became of them; without a provider: those for"
            " no route that there is.",
            *("provider", "result"),
        )
        self.api_requests = self._counter(
            "api_requests",
            "Requests to the API, by what became of them; without a role: those that"
            " were not let in.",
            *("role", "result"),
        )
        self.reload_success = self._gauge(
            "settings_reload_success",
            "Whether the settings file, when it was last read, could be used.",
        )
        self.reload_timestamp = self._gauge(
            "settings_reload_success_timestamp_seconds",
            "When settings were last taken from their file, the start included.",
        )

    def _about_the_program(self) -> None:
        self.build_info = self._gauge(
            "build_info",
            "Always 1: the versions of the reconciler and of its Python.",
            *("version", "python_version"),
        )
        self.pushes = self._counter(
            "metrics_pushes",
            "Pushes of these metrics to `metrics.push.url`, by what became of them.",
            "result",
        )
        self.heartbeat = self._gauge(
            "heartbeat_timestamp_seconds",
            "When the loop last gave a sign of life; 0 before the first.",
        )
        ProcessCollector(registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        self.labels[PREFIX + name] = labels
        return Gauge(PREFIX + name, text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        self.labels[PREFIX + name] = labels
        return Counter(PREFIX + name, text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, *labels: str, buckets: Sequence[float]
    ) -> Histogram:
        self.labels[PREFIX + name] = labels
        return Histogram(
            PREFIX + name, text, labels, registry=self.registry, buckets=buckets
        )
