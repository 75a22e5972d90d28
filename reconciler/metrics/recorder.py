"""`Metrics`: the rest of the program tells it what happened, in its own words."""

import platform
import threading
from collections.abc import Callable
from importlib.metadata import version

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from reconciler.metrics.families import NOTIFIED, Families
from reconciler.metrics.hosts import Hosts
from reconciler.metrics.queue import QueueReading
from reconciler.metrics.results import KeyResult, PassResult, Pushed, Sent
from reconciler.metrics.web import ApiMetrics, WebhookMetrics
from reconciler.model import (
    Attempt,
    BellState,
    Commit,
    CommitId,
    Evaluated,
    HostName,
    HostStatus,
    Phase,
    Reason,
)

CACHE_RESULTS = ("pushed", "failed")

WENT_BACK = tuple(one for one in Reason if one is not Reason.REBOOT_FIRST)
"""Why a host went back: of one that refuses to be switched to, nothing was touched."""


class Metrics:
    """
    All metrics of one process; any thread may call any method.

    Whatever is counted is there from the start, that of a host from `host_known` on,
    and until `host_gone`: what a pass that was still running tells of a host that has
    left is dropped, so that its series do not come back.
    """

    def __init__(self) -> None:
        self._families = Families()
        self._hosts = Hosts()
        self._lock = threading.Lock()  # over them, and whatever belongs to one host
        self._waiting: dict[str, tuple[int, float]] = {}  # by target
        self.webhooks = WebhookMetrics(self._families.webhook_requests)
        self.api = ApiMetrics(self._families.api_requests)
        self._begin()

    # --- hosts -------------------------------------------------------------------

    def host_known(self, host: HostName) -> None:
        """Show *host*, at zero, if it is new."""
        with self._lock:
            self._hosts.know(host)

    def host_gone(self, host: HostName) -> None:
        """Take every series of *host* along, and no other."""
        with self._lock:
            self._hosts.forget(host)

    def host_status(
        self, status: HostStatus, evaluated: CommitId | None = None
    ) -> None:
        """Show what the last pass found; *evaluated* is the commit it was aimed at."""
        with self._lock:
            if shown := self._hosts.of(status.host):
                shown.show(status, evaluated)

    def attempt_ended(self, attempt: Attempt) -> None:
        """Count an attempt under its outcome."""
        if attempt.outcome is None:
            message = f"attempt {attempt.id} has not ended"
            raise ValueError(message)
        with self._lock:
            if shown := self._hosts.of(attempt.host):
                shown.count("attempts", attempt.outcome.value)
                if attempt.reason in WENT_BACK:
                    reasons = self._families.rollback_reasons
                    reasons.labels(attempt.reason.value).inc()
                    shown.count("rollbacks", by=attempt.reason is not Reason.ASKED)

    def path_changed(self, host: HostName) -> None:
        """Count a deployment of another path with which no unit or key differs."""
        with self._lock:
            if self._hosts.of(host):
                self._families.path_changes.inc()

    def keys_delivered(
        self, host: HostName, result: KeyResult | str, keys: int
    ) -> None:
        """Count *keys*. Raises ValueError for a *result* that is none."""
        name = KeyResult(result).value
        with self._lock:
            if self._hosts.of(host):
                self._families.key_uploads.labels(name).inc(keys)

    def rebooted(self, host: HostName, seconds: float) -> None:
        """Record how long after SSH answered again *host* was in order."""
        with self._lock:
            if self._hosts.of(host):
                self._families.reboot_to_active.observe(seconds)

    def host_bell(self, host: HostName, state: BellState) -> None:
        """Show how it comes that *host* is looked at."""
        with self._lock:
            if shown := self._hosts.of(host):
                shown.bell = state

    def host_rang(self, host: HostName) -> None:
        """Count that *host* said that something has changed."""
        with self._lock:
            if shown := self._hosts.of(host):
                shown.count("bell_rings")

    def pass_ended(self, host: HostName, result: PassResult | str) -> None:
        """Count a pass. Raises ValueError for a *result* that is none."""
        name = PassResult(result).value
        with self._lock:
            if shown := self._hosts.of(host):
                shown.count("passes", name)

    def evaluated(self, host: HostName | None, result: Evaluated) -> None:
        """Count a commit that was read for *host*; None: for its list of hosts."""
        with self._lock:
            if shown := self._hosts.of(host):
                shown.count("evaluations", result.value)
                if result is Evaluated.FAILED:
                    shown.set("evaluation_failing", 1)

    def evaluation_took(self, host: HostName, seconds: float, memory: int) -> None:
        """Show what the last evaluation of *host* took; *memory* in bytes."""
        with self._lock:
            if shown := self._hosts.of(host):
                shown.set("evaluation_seconds", seconds)
                shown.set("evaluation_memory_bytes", memory)

    def evaluation_works(self, host: HostName | None) -> None:
        """Show that the newest commit evaluates; None: its list of hosts."""
        with self._lock:
            if shown := self._hosts.of(host):
                shown.set("evaluation_failing", 0)

    def phase(self, phase: Phase, seconds: float) -> None:
        """Record how long a phase took."""
        self._families.phase_duration.labels(phase.value).observe(seconds)

    def health_gate(self, seconds: float) -> None:
        """Record how long the health gate took to judge."""
        self._families.health_gate.observe(seconds)

    def converged(self, host: HostName, seconds: float) -> None:
        """Record how long after a commit was seen *host* was in sync with it."""
        with self._lock:
            if self._hosts.of(host):
                self._families.commit_to_converged.observe(seconds)

    # --- the repository ----------------------------------------------------------

    def fetched(self, now: float) -> None:
        """Count a look at the repository that worked."""
        self._families.fetches.inc()
        self._families.last_fetch.set(now)
        self._families.fetch_failing.set(0)

    def fetch_failed(self) -> None:
        """Count a look at the repository that failed."""
        self._families.fetches.inc()
        self._families.fetch_failures.inc()
        self._families.fetch_failing.set(1)

    def look_began(self, now: float) -> None:
        """Show that a look at the repository is under way."""
        self._families.look_started.set(now)

    def look_ended(self) -> None:
        """Show that none is."""
        self._families.look_started.set(0)

    def commit(self, commit: Commit) -> None:
        """Show the commit that hosts are brought to."""
        labels = {"commit": commit.id, "branch": commit.branch}
        with self._lock:
            self._families.commit_info.clear()
            self._families.commit_info.labels(**labels).set(1)
            self._families.commit_timestamp.set(commit.committed_at)

    def commit_withheld(self, *, withheld: bool) -> None:
        """Show whether the newest commit waits for a person."""
        self._families.commit_withheld.set(withheld)

    def commit_untrusted(self, *, untrusted: bool) -> None:
        """Show whether the newest commit may not count, whoever approves it."""
        self._families.commit_untrusted.set(untrusted)

    def fallback(self, *, used: bool) -> None:
        """Show whether a fall-back of the repository was read."""
        self._families.fallback.set(used)

    # --- notifications -----------------------------------------------------------

    def notified(self, kind: str, result: Sent | str) -> None:
        """Count what became of a message. Raises ValueError for a *result* of none."""
        self._families.notifications.labels(kind, Sent(result).value).inc()

    def notifications_wait(self, target: str, waiting: int, oldest_at: float) -> None:
        """Show what waits for one target; *oldest_at* is 0 where nothing does."""
        families = self._families
        with self._lock:
            self._waiting[target] = (waiting, oldest_at)
            oldest = [at for count, at in self._waiting.values() if count]
            families.notifications_pending.set(
                sum(count for count, _ in self._waiting.values())
            )
            families.notifications_oldest.set(min(oldest, default=0.0))

    # --- caches ------------------------------------------------------------------

    def cache_known(self, cache: str) -> None:
        """Show *cache*, at zero."""
        for result in CACHE_RESULTS:
            self._families.cache_pushes.labels(cache, result)
        self._families.cache_pending.labels(cache)

    def cache_pushed(self, cache: str, *, well: bool) -> None:
        """Count a system that was, or was not, pushed to *cache*."""
        result = CACHE_RESULTS[0 if well else 1]
        self._families.cache_pushes.labels(cache, result).inc()

    def cache_waits(self, cache: str, waiting: int) -> None:
        """Show how many systems wait for *cache*."""
        self._families.cache_pending.labels(cache).set(waiting)

    # --- the program -------------------------------------------------------------

    def heartbeat(self, now: float) -> None:
        """Show that the loop is alive."""
        self._families.heartbeat.set(now)

    def settings_read(self, now: float | None) -> None:
        """Show that settings were taken at *now*; None: that their file is wrong."""
        self._families.reload_success.set(now is not None)
        if now is not None:
            self._families.reload_timestamp.set(now)

    def pushed(self, result: Pushed) -> None:
        """Count a push of these metrics."""
        self._families.pushes.labels(result.value).inc()

    def watch_queue(self, read: Callable[[], QueueReading]) -> None:
        """Ask *read* for the queue's figures at each scrape."""
        self._families.queue.read = read

    def queue_waited(self, seconds: float) -> None:
        """Record how long a host waited on the queue."""
        self._families.queue_duration.observe(seconds)

    def queue_worked(self, seconds: float) -> None:
        """Record how long a worker kept a host."""
        self._families.work_duration.observe(seconds)

    def render(self) -> tuple[bytes, str]:
        """Return a scrape, of one moment as far as hosts go, and its content type."""
        with self._lock:
            others = generate_latest(self._families.registry)
            of_hosts = self._hosts.text()
        return others + of_hosts.encode(), CONTENT_TYPE_PLAIN_0_0_4

    def _begin(self) -> None:
        families = self._families
        python = platform.python_version()
        families.build_info.labels(version("reconciler"), python).set(1)
        families.commit_info.labels(commit="", branch="").set(1)
        for phase in Phase:
            families.phase_duration.labels(phase.value)
        for kind in NOTIFIED:
            for result in Sent:
                families.notifications.labels(kind, result.value)
        for key_result in KeyResult:
            families.key_uploads.labels(key_result.value)
        for pushed in Pushed:
            families.pushes.labels(pushed.value)
        for reason in WENT_BACK:
            families.rollback_reasons.labels(reason.value)
