"""What each host should run, evaluated once per commit and remembered."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from reconciler.desired import Heard, from_json, still_valid, to_json
from reconciler.errors import (
    PermanentError,
    ReconcilerError,
    StateError,
    StoppingError,
    TemporaryError,
)
from reconciler.history import Declared
from reconciler.model import (
    CommitId,
    Desired,
    Evaluated,
    EvaluationNote,
    HostName,
    Phase,
)
from reconciler.revisions.repository import Revision
from reconciler.world import CommitWorld, timed

log = structlog.get_logger(__name__)

RETRY_SOON = 30.0
"""Seconds after which one is that failed for a reason of this machine."""

DUE = "repository.refresh: what it fetches is looked at again"

COLLECTED = "what it evaluated to is no longer in the store, or no longer kept"

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
    answer: str = ""  # the key under which it is kept, by which it was once evaluated


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
        self._saved: dict[HostName, LastGood] = {}  # in history
        self._failed: dict[HostName, _Failure] = {}
        self._fetched_at: dict[HostName, float] = {}  # on World.monotonic
        self._shown: set[HostName] = set()  # whose last evaluation metrics tell of
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
            return not self._is_due(host, good.desired)
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
            good = self._looked_again(revision, host, good)
            # It may have failed in between: a commit and its revert.
            newer = replace(good, commit=revision.commit.id)
            if newer != good:
                self._note(revision, host, Evaluated.UNCHANGED)
            self._works(host, newer, kept=not revision.aside)
            return good.desired
        failed = self._failed.get(host)
        if failed is not None and failed.holds(key, world.monotonic()):
            raise failed.error
        good = self._kept(revision, host, key)
        if good is None:
            # What lies outside is looked at once more only if Nix is to be asked.
            good, reasons = self._unchanged(revision, host, key)
            good = good or self._anew(revision, host, reasons)
        self._works(host, good, kept=not revision.aside)
        return good.desired

    def _looked_again(
        self, revision: Revision, host: HostName, good: LastGood
    ) -> LastGood:
        """Return what *host* should be, evaluated anew where it is time to fetch."""
        if not self._is_due(host, good.desired):
            return good
        try:
            desired = self._evaluate(good.key, revision, host, (DUE,))
        except StoppingError:
            raise
        except ReconcilerError as error:
            # What was fetched before is as good as it was.
            log.warning("cannot evaluate anew", host=host, error=str(error))
            return good
        return replace(good, desired=desired, answer=good.key)

    def _is_due(self, host: HostName, desired: Desired) -> bool:
        """Say whether what *host* fetches is to be looked at again."""
        refresh = self._world.settings.repository.refresh
        if refresh is None or not desired.fetches:
            return False
        now = self._world.monotonic()
        return now - self._fetched_at.setdefault(host, now) >= refresh

    def _kept(self, revision: Revision, host: HostName, key: str) -> LastGood | None:
        desired, commit = self._remembered(key), revision.commit.id
        if desired is None:
            return None
        self._note(revision, host, Evaluated.UNCHANGED)
        return LastGood(desired=desired, commit=commit, key=key, answer=key)

    def _unchanged(
        self, revision: Revision, host: HostName, key: str
    ) -> tuple[LastGood | None, tuple[str, ...]]:
        """Return the answer of before if nothing it looked at differs, or why not."""
        commit = revision.commit.id
        try:
            answer, reasons = self._world.evaluator.unchanged(revision.checkout, host)
        except ReconcilerError:
            return None, ()  # evaluating raises the same
        desired = self._answered(host, answer) if answer else None
        if desired is None:
            return None, reasons or (COLLECTED,)
        good = LastGood(desired=desired, commit=commit, key=key, answer=answer)
        self._note(revision, host, Evaluated.UNCHANGED, good=good)
        return good, ()

    def _anew(
        self, revision: Revision, host: HostName, reasons: tuple[str, ...]
    ) -> LastGood:
        """Return what Nix says, unless somebody was just told that."""
        key = self._key(revision, host, fresh=True)
        good = self._kept(revision, host, key)
        if good is not None:
            return good
        desired = self._evaluate(key, revision, host, reasons)
        commit = revision.commit.id
        return LastGood(desired=desired, commit=commit, key=key, answer=key)

    def _answered(self, host: HostName, answer: str) -> Desired | None:
        good = self._good.get(host)
        if good is not None and good.answer == answer and still_valid(good.desired):
            return good.desired
        return self._remembered(answer)

    def _key(self, revision: Revision, host: HostName, *, fresh: bool = False) -> str:
        evaluator = self._world.evaluator
        what = evaluator.identity(revision.commit, revision.checkout)
        return evaluator.cache_key(what, host, fresh=fresh)

    def _works(self, host: HostName, good: LastGood, *, kept: bool) -> None:
        """Note that *host* can be evaluated; if it is to be *kept*, in history too."""
        world = self._world
        if kept:
            self._save(host, good)
        with self._lock:
            self._good[host] = good
            self._failed.pop(host, None)
        world.metrics.evaluation_works(host)

    def _save(self, host: HostName, good: LastGood) -> None:
        saved, systems = self._saved.get(host), self._world.history.systems
        self._saved[host] = good
        if saved is None or saved.desired is not good.desired:
            told = Declared(commit=good.commit, desired=to_json(good.desired))
            systems.save_last_good(host, told)
        elif saved.commit != good.commit:
            # Writing all of a large host takes longer than finding that it is the same.
            systems.move_last_good(host, good.commit)

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
            self._saved.pop(host, None)
            self._failed.pop(host, None)
            self._problems.pop(host, None)
            self._fetched_at.pop(host, None)

    def _remembered(self, key: str) -> Desired | None:
        text = self._world.history.evaluation(key)
        if text is None:
            return None
        desired = from_json(text)
        return desired if still_valid(desired) else None

    def _evaluate(
        self, key: str, revision: Revision, host: HostName, reasons: tuple[str, ...]
    ) -> Desired:
        world = self._world
        world.tell(host, "evaluating")
        self._fetched_at[host] = world.monotonic()
        took: list[Heard] = []
        try:
            with timed(world, Phase.EVALUATE):
                desired = world.evaluator.evaluate(
                    revision.checkout, host, key=key, hear=took.append
                )
        except PermanentError as error:
            self._fails(host, key, error, RETRY_FAILED)
            self._note(revision, host, Evaluated.FAILED, reasons)
            raise
        for text in desired.warnings:
            log.warning("the configuration warns", host=host, text=text)
        world.history.save_evaluation(key, to_json(desired), now=world.now())
        self._note(revision, host, Evaluated.EVALUATED, reasons, took)
        return desired

    def _note(
        self,
        revision: Revision,
        host: HostName,
        result: Evaluated,
        reasons: tuple[str, ...] = (),
        took: Sequence[Heard] = (),
        good: LastGood | None = None,
    ) -> None:
        """
        Record how a commit was read for *host*; not for who only asks about it.

        *good* is what it says, where that is what the one before said.
        """
        world = self._world
        world.metrics.evaluated(host, result)
        self._show_cost(host, took)
        if revision.aside:
            return
        note = EvaluationNote(
            host=host,
            commit=revision.commit.id,
            result=result,
            reasons=reasons,
            at=world.now(),
            seconds=took[0].seconds if took else None,
            memory=took[0].memory if took else None,
        )
        saved = self._saved.get(host)
        moves = bool(good and saved and saved.desired is good.desired)
        world.history.lookings.note(note, moves=moves)
        if good is not None and moves:
            self._saved[host] = good  # in one transaction: there are many hosts

    def _show_cost(self, host: HostName, took: Sequence[Heard]) -> None:
        """Show what the last evaluation took, be it before a restart."""
        metrics = self._world.metrics
        for heard in took:
            metrics.evaluation_took(host, heard.seconds, heard.memory)
        if not took and host not in self._shown:
            before = self._world.history.lookings.note_of(host)
            if before is not None and before.seconds is not None:
                metrics.evaluation_took(host, before.seconds, before.memory or 0)
        self._shown.add(host)
