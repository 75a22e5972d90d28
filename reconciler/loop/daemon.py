"""
The daemon: one thread that looks at the repository, workers that look at hosts.

A push, a timer and a person all do one thing: set "look again", or put a host's name
on the queue. Nothing else about the event is passed on.
"""

import functools
import itertools
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable

import structlog

from reconciler.attempt.first import first_deployment
from reconciler.attempt.look import Planned
from reconciler.attempt.preview import preview
from reconciler.attempt.reach import meet
from reconciler.errors import (
    ConnectError,
    ReconcilerError,
    StateError,
    StoppingError,
    UnknownHostError,
)
from reconciler.history import LEFT, RETRY
from reconciler.loop.arrivals import Arrivals
from reconciler.loop.bells import Bells
from reconciler.loop.brought import BroughtLater
from reconciler.loop.caches import Caches
from reconciler.loop.evaluation_stage import EvaluationStage
from reconciler.loop.host_gate import Gate
from reconciler.loop.host_pass import HostPass
from reconciler.loop.orders import OrderWatch
from reconciler.loop.placement import Alone, Placement
from reconciler.loop.places import Places
from reconciler.loop.queue import Backoff, Queue
from reconciler.loop.repository_watch import RepositoryWatch, spread
from reconciler.loop.results import Again, Failed, Result, result_name
from reconciler.loop.rollback_orders import Rollbacks
from reconciler.loop.summary import summary
from reconciler.model import Commit, CommitId, HostName
from reconciler.remote import DeploysItselfError
from reconciler.revisions.evaluations import Evaluations
from reconciler.revisions.repository import Repository, Revision
from reconciler.revisions.trust import require_trust
from reconciler.world import World

log = structlog.get_logger(__name__)

PRUNE_INTERVAL = 86400.0  # seconds between two clean-ups of history
PASS_BACKOFF_CAP = 300.0  # seconds at most between two tries to reach a host
ATTEMPT_BACKOFF_CAP = 1800.0  # seconds at most between two attempts on a host
LOST_LOOK = 0.25  # seconds between two looks for connections that ended
ORDER_TICKS = 4  # of those looks until one at what people ordered
LOST_RETRY = 0.3  # seconds between two tries to reach a host that may be rebooting
AWAY_TURN = 1.0  # seconds until a host that is away asks again for a place
LOST_LIMIT = 180.0  # seconds after which it is treated as any host that is away


class Daemon:
    """Runs until `shut`. Every failure of a host stays that host's own."""

    def __init__(self, world: World, placement: Placement | None = None) -> None:
        """With a *placement*, look at those hosts only that it has for us."""
        self._world = world
        self._placement: Placement = placement or Alone()
        metrics = world.metrics
        self._queue: Queue[HostName] = Queue(
            waited=metrics.queue_waited, worked=metrics.queue_worked
        )
        self._repository = Repository(world, leads=lambda: self._placement.leads)
        self._announced: Revision | None = None
        self._evaluations = Evaluations(world)
        self._gate = Gate(Backoff(base=2.0, cap=ATTEMPT_BACKOFF_CAP))
        self._stage = EvaluationStage(
            world, self._repository, self._evaluations, ready=self._queue.add
        )
        self._brought = BroughtLater(world, self._evaluations, mine=self._is_for_us)
        self._caches = Caches(world)
        self.bells = Bells(world, self._queue)
        self._places = Places(world.settings.policy.parallel)
        self._pass = HostPass(
            world,
            self._repository,
            self._evaluations,
            self._gate,
            later=self._stage.ask,
            brought=self._brought,
        )
        self._pass.hang(self.bells)
        self._retry: Backoff[HostName] = Backoff(base=2.0, cap=PASS_BACKOFF_CAP)
        self._orders = OrderWatch(world)
        self._watch = RepositoryWatch(
            world,
            self._repository,
            announce=self._announce,
            alive=self._sign_of_life,
        )
        self.looks = self._watch.looks
        self.arrivals = Arrivals(world, self._repository, self._evaluations)
        self.rollbacks = Rollbacks(world, self._repository, self._evaluations)
        self._started = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lost: dict[HostName, float] = {}
        self._beat = world.monotonic()
        self._pruned = -PRUNE_INTERVAL
        metrics.watch_queue(self._queue.stats)

    def start(self) -> None:
        """Start the threads; the repository is looked at first."""
        self._recall()
        self._orders.news()  # what was ordered before is seen by the first passes
        self._thread("repository", self._watch.run)
        self._thread("connections", self._watch_connections)
        self._thread("brought", self._brought.run)
        self._thread("caches", self._caches.run)
        for number in range(os.cpu_count() or 1):
            self._thread(f"evaluation-{number}", self._stage.run)
        for number in range(self._places.workers):
            self._thread(f"worker-{number}", self._work)
        self._started.set()

    def look_again(self) -> None:
        """Look at the repository now; any thread may call this, however often."""
        self._watch.look_again()

    def pushed(self) -> None:
        """Look as above, and soon again while that finds nothing new."""
        self._placement.pushed()
        self._watch.pushed()

    def sync(self) -> str:
        """
        Look at the repository now; return the token of that look in `looks`.

        Raises StateError where another worker does that.
        """
        if not self._placement.leads:
            leader = self._placement.leader or "no worker yet"
            message = f"this worker does not look at the repository: {leader} does"
            raise StateError(message)
        token = self.looks.ask()
        self._watch.look_again()
        return token

    def reported(self, host: HostName) -> None:
        """Take what *host*, which deploys itself, has reported."""
        self._queue.add(host)

    def hear(self, heard: Callable[[], None]) -> None:
        """Have *heard* called whenever it was recorded how a host stands."""
        self._pass.hear(heard)

    def settings_changed(self) -> None:
        """Look at everything by the settings of now."""
        self._watch.look_again()
        revision = self._repository.current
        for host in revision.hosts if revision else ():
            self._queue.add(host)

    def hosts(self) -> tuple[HostName, ...]:
        """Return the hosts of the commit that counts; none before one was read."""
        revision = self._repository.current
        return revision.hosts if revision else ()

    def current(self) -> CommitId | None:
        """Return the commit that counts here."""
        revision = self._repository.current
        return revision.commit.id if revision else None

    def placed(self, gained: Iterable[HostName], lost: Iterable[HostName]) -> None:
        """Look after other hosts from now on; of those that went, nothing is kept."""
        for host in lost:
            self._let_go(host)
        if gained := set(gained):
            self._tell_known(gained.__contains__)
        for host in sorted(gained):
            self._gate.forget(host)
            self._retry.forget(host)
            self._pass.took(host)
            self._stage.ask(host)

    def plan(self, host: HostName) -> Planned:
        """
        Look at *host* now and say what would be done, without doing it.

        Raises UnknownHostError, DeploysItselfError, StateError before the first commit
        was read, and what evaluation and probe raise.
        """
        revision = self._repository.current
        if revision is None:
            message = self._repository.problem or "no commit was read yet"
            raise StateError(message)
        if host not in revision.hosts:
            raise UnknownHostError(host, known=revision.hosts)
        if self._world.live.pulls(host):
            raise DeploysItselfError(host)
        desired = self._evaluations.desired(revision, host)
        seen = meet(self._world, desired, revision.checkout, policy=self._world.policy)
        reader = self._world.connections.reader(host, desired.target)
        return Planned(
            plan=seen.plan,
            desired=desired,
            commit=revision.commit.id,
            brings=preview(desired, seen.observed, reader, files=False),
            first=first_deployment(desired, seen, reader),
        )

    def commit(self, ref: str) -> Commit:
        """Return the commit that *ref* names. Raises UnknownCommitError and kin."""
        return self._world.mirror.resolve(ref)

    def approvable(self, ref: str) -> Commit:
        """Return the commit *ref*, if approving helps it. Raises UntrustedError."""
        commit = self.commit(ref)
        require_trust(self._world, commit)
        return commit

    def withheld(self) -> Commit | None:
        """Return the commit that does not count until a person approves it, if any."""
        return self._repository.withheld

    def shut(self) -> None:
        """Start nothing new; what goes on on hosts is left to their guardians."""
        self._stopping.set()
        self._world.stopping.set()
        self._watch.look_again()
        self._stage.shut()
        self._brought.shut()
        self._caches.shut()
        self._queue.shut_down()

    def join(self, timeout: float) -> bool:
        """Wait *timeout* seconds for what is under way; return whether all ended."""
        give_up = time.monotonic() + timeout
        threads = [*self._threads, *self.rollbacks.threads()]
        for thread in threads:
            thread.join(max(0.0, give_up - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def problem(self) -> str:
        """Return why the daemon is not healthy; empty while it is."""
        if not self._started.is_set():
            return "the daemon is starting"
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        if dead:
            return f"these threads ended: {', '.join(dead)}"
        silent = self._world.monotonic() - self._beat
        if silent > self._watch.patience:
            return f"the repository was not looked at for {silent:.0f} s"
        return self._world.history.problem()

    def doing(self) -> str:
        """Return what takes long just now; empty while nothing does."""
        return self._watch.doing

    def summary(self) -> str:
        """Return one line for people: the commit, the hosts in sync, what runs."""
        told = summary(self._world, self._repository)
        return f"{told}; {self.doing()}" if self.doing() else told

    def _thread(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _recall(self) -> None:
        """Tell metrics what is known from before a restart, until a pass knows more."""
        self._sign_of_life()
        self._tell_known(self._placement.mine)

    def _tell_known(self, told: Callable[[HostName], bool]) -> None:
        """Tell metrics what is known of hosts that are to be *told* of."""
        for status in self._world.history.statuses():
            if not told(status.host):
                continue
            self._world.metrics.host_known(status.host)
            commit = self._pass.aimed_at(status)
            self._world.metrics.host_status(status, commit)
            if not status.reachable:
                self._places.lost(status.host)

    def _sign_of_life(self) -> None:
        self._beat = self._world.monotonic()
        self._world.metrics.heartbeat(self._world.now())
        due = self._beat > self._pruned + PRUNE_INTERVAL
        if due and self._placement.leads:
            self._pruned = self._beat
            self._prune()

    def _prune(self) -> None:
        try:
            self._world.history.prune(now=self._world.now())
        except StateError as error:
            # It is only about space: whoever needs the database will complain.
            log.warning("cannot clean up history", error=str(error))

    # --- the repository ----------------------------------------------------------

    def _announce(self) -> None:
        """Have every host looked at if there is a new revision."""
        revision = self._repository.current
        if revision is None or revision is self._announced:
            return
        self._arrived(revision, self._announced)
        # Last, so that an arrival that fails half-way is announced again.
        self._announced = revision
        self._placement.announced()

    def _arrived(self, revision: Revision, before: Revision | None) -> None:
        commit = revision.commit
        log.info("commit", id=commit.id, subject=commit.subject, author=commit.author)
        if self._placement.leads:
            for host in self._gone(revision, before):
                self._forget(host, commit)
            self._world.notify.arrived(commit, revision.hosts)
        for host in filter(self._placement.mine, revision.hosts):
            self._world.metrics.host_known(host)
            self._gate.forget(host)
            self._retry.forget(host)
            self._look_at_first(host)
        # Git may pack for minutes: no host waits for that.
        self._world.mirror.prune(
            {kept.commit.id for kept in (before, revision) if kept}
        )

    def _look_at_first(self, host: HostName) -> None:
        """Have *host* evaluated and looked at; one that deploys itself does that."""
        if self._world.live.pulls(host):
            self._queue.add(host)
        else:
            self._stage.ask(host)

    def _gone(self, revision: Revision, before: Revision | None) -> set[HostName]:
        known = set(before.hosts) if before else set()
        known.update(status.host for status in self._world.history.statuses())
        return known - set(revision.hosts)

    def _forget(self, host: HostName, commit: Commit) -> None:
        log.info("host left the repository; it is left alone from now on", host=host)
        text = f"commit {commit.id[:8]} has it no more: {commit.subject}"
        self._world.history.event(
            now=self._world.now(), kind=LEFT, host=host, text=text
        )
        self._world.history.abandon(host, now=self._world.now())
        self._world.history.forget_host(host)
        self._let_go(host)

    def _let_go(self, host: HostName) -> None:
        """Drop what we have of a host that is not for us any more."""
        self._queue.forget_delay(host)
        self._wipe(host)
        self._world.metrics.host_gone(host)

    def _wipe(self, host: HostName) -> None:
        self._lost.pop(host, None)
        self.bells.forget(host)
        self._places.forget(host)
        self._retry.forget(host)
        self._gate.forget(host)
        self._evaluations.forget(host)
        self._pass.forget(host)
        self._world.connections.forget(host)
        try:
            self._world.gc_root(host).unlink(missing_ok=True)
        except OSError as error:
            # It is only about space.
            log.warning("cannot let go what was built", host=host, error=str(error))

    # --- hosts -------------------------------------------------------------------

    def _work(self) -> None:
        while (host := self._queue.get()) is not None:
            if not self._placement.mine(host):
                self._queue.done(host)  # whoever has it looks at it
                continue
            wait: float | None = AWAY_TURN
            if self._places.enter(host):
                try:
                    wait = None if self._stopping.is_set() else self._one_pass(host)
                finally:
                    self._places.leave(host)
            self._queue.done(host)
            if wait is not None:
                self._queue.add_after(host, wait)

    def _one_pass(self, host: HostName) -> float | None:
        """Make a pass; return the seconds until the next one, if there is to be one."""
        one_pass = {"host": host, "pass": secrets.token_hex(4)}
        with structlog.contextvars.bound_contextvars(**one_pass):
            return self._after(host, self._look_at(host))

    def _look_at(self, host: HostName) -> Result | None:
        try:
            found = functools.partial(self._places.found, host)
            return self._pass.run(host, found=found)
        except StoppingError:
            return Again(0.0)
        except ReconcilerError as error:
            log.warning("pass failed", error=str(error))
            return Failed(error)
        except Exception:
            # A bug must cost one pass of one host, not the worker.
            log.exception("pass failed in a way we do not know")
            return None

    def _watch_connections(self) -> None:
        """Look at a host as soon as the connection to it ends, or it has an order."""
        for tick in itertools.count():
            if self._stopping.wait(LOST_LOOK):
                return
            for host in self._world.connections.lost():
                self._lost[host] = self._world.monotonic()
                self._places.lost(host)
                self._queue.add(host)
            if tick % ORDER_TICKS == 0:
                self._obey()

    def _obey(self) -> None:
        """Look at what people ordered, without waiting for anything."""
        for order in self._orders.news():
            if order.host is None:
                self._watch.look_again()
            elif self._is_here(order.host):
                if order.kind == RETRY:
                    self._evaluations.forget(order.host)  # also that it failed
                self._gate.forget(order.host)
                self._retry.forget(order.host)
                self._queue.add(order.host)

    def _after(self, host: HostName, result: Result | None) -> float | None:
        """Return the seconds until *host* is looked at again."""
        interval = self._world.settings.policy.interval
        self._world.metrics.pass_ended(host, result_name(result))
        self._places.note(host, result)
        if not self._is_here(host):
            self._wipe_after(host)
            return None
        if self._is_coming_back(host, result):
            return LOST_RETRY
        match result:
            case None | Failed(after=None):
                return self._retry.failed(host) + min(interval, 1.0)
            case Failed(after=float(after)) | Again(after):
                self._retry.forget(host)
                return min(after, spread(interval))
        self._retry.forget(host)
        return spread(interval)

    def _is_here(self, host: HostName) -> bool:
        return self._is_declared(host) and self._placement.mine(host)

    def _is_declared(self, host: HostName) -> bool:
        revision = self._repository.current
        return revision is not None and host in revision.hosts

    def _is_for_us(self, host: HostName) -> bool:
        """Say whether to see to what is left of *host*, be it gone."""
        if self._is_declared(host):
            return self._placement.mine(host)
        return self._placement.leads

    def _wipe_after(self, host: HostName) -> None:
        """
        Drop what the pass left that was under way when its host was forgotten.

        Metrics tell nothing of a host that they do not know; were the host to come
        back just now, they must not lose it.
        """
        try:
            if self._placement.leads and not self._is_declared(host):
                self._world.history.forget_host(host)
            self._wipe(host)
        except StateError as error:
            # The next commit finds what is left of it.
            log.warning("cannot forget host", error=str(error))

    def _is_coming_back(self, host: HostName, result: Result | None) -> bool:
        """Return whether it cannot be reached, and was just now: it may be booting."""
        match result:
            case Failed(error=ConnectError()):
                lost_at = self._lost.get(host)
                return (
                    lost_at is not None
                    and self._world.monotonic() < lost_at + LOST_LIMIT
                )
        self._lost.pop(host, None)
        return False
