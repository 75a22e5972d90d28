"""What each host should run, evaluated once per commit and remembered."""

import threading
from dataclasses import dataclass, replace

import structlog

from reconciler.desired import from_json, still_valid, to_json
from reconciler.errors import (
    PermanentError,
    ReconcilerError,
    StateError,
    StoppingError,
    TemporaryError,
)
from reconciler.history import Declared
from reconciler.model import CommitId, Desired, HostName, Phase
from reconciler.revisions.repository import Revision
from reconciler.world import CommitWorld, timed

log = structlog.get_logger(__name__)

RETRY_SOON = 30.0
"""Seconds after which one is that failed for a reason of this machine."""

RETRY_FAILED = 3600.0
"""Seconds after which a failed evaluation is tried again without a new commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    key: str
    error: ReconcilerError
    until: float  # on World.monotonic

    def holds(self, key: str, now: float) -> bool:
        return self.key == key and now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class LastGood:
    """What the last commit that evaluated for a host said."""

    desired: Desired
    commit: CommitId  # that says so
    key: str = ""  # of the evaluation; empty where it is not known any more


class Evaluations:
    """
    Desired states by host.

    Looks in memory, then in history (a restart evaluates nothing again), then asks
    Nix. A failure is remembered too: the same commit would fail again. The last good
    state of each host is also kept in history, under a key of the host alone.
    """

    def __init__(self, world: CommitWorld) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._good: dict[HostName, LastGood] = {}
        self._failed: dict[HostName, _Failure] = {}
        self._problems: dict[HostName, tuple[CommitId, str]] = {}

    def desired(self, revision: Revision, host: HostName) -> Desired:
        """Return what *revision* says *host* should be. Raises EvaluationError."""
        try:
            desired = self._desired(revision, host)
        except StoppingError:
            raise
        except ReconcilerError as error:
            self._problems[host] = (revision.commit.id, str(error))
            raise
        self._problems.pop(host, None)
        return desired

    def prepare(self, revision: Revision, host: HostName) -> None:
        """
        Have `desired` answer without Nix for a while, be it with an error.

        Raises StoppingError and what asking Nix for its version raises.
        """
        try:
            self.desired(revision, host)
        except StoppingError:
            raise
        except ReconcilerError as error:
            log.warning("cannot evaluate", host=host, error=str(error))
            self._put_off(revision, host, error)
        except Exception:
            log.exception("evaluation failed in a way we do not know", host=host)
            bug = TemporaryError(f"evaluating {host} failed by a bug; see the log")
            self._problems[host] = (revision.commit.id, str(bug))
            self._put_off(revision, host, bug)

    def _put_off(
        self, revision: Revision, host: HostName, error: ReconcilerError
    ) -> None:
        """Have `desired` raise *error* for a while, unless it does so anyhow."""
        if not self.is_known(revision, host):
            self._fails(host, self._key(revision, host), error, RETRY_SOON)

    def is_known(self, revision: Revision, host: HostName) -> bool:
        """Return whether `desired` answers without evaluating anything."""
        world = self._world
        try:
            key = self._key(revision, host)
        except ReconcilerError:
            return True  # as `desired` will say at once
        good, failed = self._good.get(host), self._failed.get(host)
        if good is not None and good.key == key and still_valid(good.desired):
            return True
        if failed is not None and failed.holds(key, world.monotonic()):
            return True
        return self._remembered(key) is not None

    def _fails(
        self, host: HostName, key: str, error: ReconcilerError, seconds: float
    ) -> None:
        until = self._world.monotonic() + seconds
        with self._lock:
            self._failed[host] = _Failure(key=key, error=error, until=until)

    def problem(self, host: HostName, commit: CommitId | None = None) -> str:
        """
        Return why *host* could not be evaluated the last time; empty if it could.

        With *commit*, only if it was that one.
        """
        of, problem = self._problems.get(host, (None, ""))
        return problem if commit in (None, of) else ""

    def _desired(self, revision: Revision, host: HostName) -> Desired:
        world = self._world
        key = self._key(revision, host)
        good = self._good.get(host)
        if good is not None and good.key == key and still_valid(good.desired):
            # It may have failed in between: a commit and its revert.
            newer = replace(good, commit=revision.commit.id)
            self._works(host, newer, kept=not revision.aside)
            return good.desired
        failed = self._failed.get(host)
        if failed is not None and failed.holds(key, world.monotonic()):
            raise failed.error
        desired = self._remembered(key)
        if desired is None:
            key = self._key(revision, host, fresh=True)
            desired = self._remembered(key) or self._evaluate(key, revision, host)
        good = LastGood(desired=desired, commit=revision.commit.id, key=key)
        self._works(host, good, kept=not revision.aside)
        return desired

    def _key(self, revision: Revision, host: HostName, *, fresh: bool = False) -> str:
        evaluator = self._world.evaluator
        what = evaluator.identity(revision.commit, revision.checkout)
        return evaluator.cache_key(what, host, fresh=fresh)

    def _works(self, host: HostName, good: LastGood, *, kept: bool) -> None:
        """Note that *host* can be evaluated; if it is to be *kept*, in history too."""
        world = self._world
        if kept and self._good.get(host) != good:
            told = Declared(commit=good.commit, desired=to_json(good.desired))
            world.history.systems.save_last_good(host, told)
        with self._lock:
            self._good[host] = good
            self._failed.pop(host, None)
        world.metrics.evaluation_works(host)

    def last_good(self, host: HostName) -> LastGood | None:
        """Return what the last commit that evaluated for *host* said."""
        good = self._good.get(host)
        if good is not None:
            return good
        told = self._world.history.systems.last_good(host)
        if told is None:
            return None
        try:
            good = LastGood(desired=from_json(told.desired), commit=told.commit)
        except StateError:
            return None  # kept by a version that wrote it in another way
        with self._lock:
            return self._good.setdefault(host, good)

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
            self._fails(host, key, error, RETRY_FAILED)
            world.metrics.evaluation_failed(host)
            raise
        for text in desired.warnings:
            log.warning("the configuration warns", host=host, text=text)
        world.history.save_evaluation(key, to_json(desired), now=world.now())
        return desired
