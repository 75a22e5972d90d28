"""What each host should run, evaluated once per commit and remembered."""

import threading
from dataclasses import dataclass

import structlog

from reconciler.desired import from_json, still_valid, to_json
from reconciler.errors import (
    PermanentError,
    ReconcilerError,
    StateError,
    StoppingError,
)
from reconciler.history import last_good_key
from reconciler.loop.repository import Revision
from reconciler.loop.timing import timed
from reconciler.loop.world import World
from reconciler.model import Desired, HostName, Phase

log = structlog.get_logger(__name__)

RETRY_FAILED = 3600.0
"""Seconds after which a failed evaluation is tried again without a new commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    key: str
    error: PermanentError
    at: float  # on World.monotonic

    def holds(self, key: str, now: float) -> bool:
        return self.key == key and now < self.at + RETRY_FAILED


class Evaluations:
    """
    Desired states by host.

    Looks in memory, then in history (a restart evaluates nothing again), then asks
    Nix. A failure is remembered too: the same commit would fail again. The last good
    state of each host is also kept in history, under a key of the host alone.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._good: dict[HostName, tuple[str, Desired]] = {}
        self._failed: dict[HostName, _Failure] = {}
        self._problems: dict[HostName, str] = {}

    def desired(self, revision: Revision, host: HostName) -> Desired:
        """Return what *revision* says *host* should be. Raises EvaluationError."""
        try:
            desired = self._desired(revision, host)
        except StoppingError:
            raise
        except ReconcilerError as error:
            self._problems[host] = str(error)
            raise
        self._problems.pop(host, None)
        return desired

    def problem(self, host: HostName) -> str:
        """Return why *host* could not be evaluated the last time; empty if it could."""
        return self._problems.get(host, "")

    def _desired(self, revision: Revision, host: HostName) -> Desired:
        world = self._world
        key = world.evaluator.cache_key(revision.commit.tree, host)
        good = self._good.get(host)
        if good is not None and good[0] == key:
            # It may have failed in between: a commit and its revert.
            world.metrics.evaluation_works(host)
            return good[1]
        failed = self._failed.get(host)
        if failed is not None and failed.holds(key, world.monotonic()):
            raise failed.error
        desired = self._remembered(key) or self._evaluate(key, revision, host)
        world.history.save_evaluation(
            last_good_key(host), to_json(desired), now=world.now()
        )
        with self._lock:
            self._good[host] = (key, desired)
            self._failed.pop(host, None)
        world.metrics.evaluation_works(host)
        return desired

    def last_good(self, host: HostName) -> Desired | None:
        """Return what the last commit that evaluated for *host* said."""
        good = self._good.get(host)
        if good is not None:
            return good[1]
        text = self._world.history.evaluation(last_good_key(host))
        try:
            return from_json(text) if text else None
        except StateError:
            return None  # kept by a version that wrote it in another way

    def forget(self, host: HostName) -> None:
        """Forget a host, so that it is evaluated again or because it is gone."""
        with self._lock:
            self._good.pop(host, None)
            self._failed.pop(host, None)
            self._problems.pop(host, None)

    def _remembered(self, key: str) -> Desired | None:
        text = self._world.history.evaluation(key)
        if text is None:
            return None
        desired = from_json(text)
        return desired if still_valid(desired) else None

    def _evaluate(self, key: str, revision: Revision, host: HostName) -> Desired:
        world = self._world
        world.tell(host, "evaluating")
        try:
            with timed(world, Phase.EVALUATE):
                desired = world.evaluator.evaluate(revision.checkout, host)
        except PermanentError as error:
            with self._lock:
                at = world.monotonic()
                self._failed[host] = _Failure(key=key, error=error, at=at)
            world.metrics.evaluation_failed(host)
            raise
        world.history.save_evaluation(key, to_json(desired), now=world.now())
        return desired


def _last_key(host: HostName) -> str:
    return f"last good: {host}"
