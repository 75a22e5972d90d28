"""One pass: desired, observed, plan, apply, status, for one host."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace

import structlog

from reconciler.attempt.blame import left_half_way, sentence
from reconciler.attempt.carried import Carried, baseline_in, baseline_of, source_of
from reconciler.attempt.following import Following
from reconciler.attempt.look import Look, look, sighting
from reconciler.attempt.ordered import WayBack
from reconciler.attempt.reach import meet, where_it_is
from reconciler.attempt.run import AttemptRun
from reconciler.errors import (
    HostBusyError,
    NoAddressError,
    PermanentError,
    ReconcilerError,
    StoppingError,
)
from reconciler.history import CUT_SHORT
from reconciler.loop.bells import Bells
from reconciler.loop.brought import BroughtLater
from reconciler.loop.host_gate import Gate
from reconciler.loop.lead_times import LeadTimes
from reconciler.loop.results import Again, Done, Failed, Result
from reconciler.loop.rollback import run_back
from reconciler.loop.standings import Standings
from reconciler.loop.turns import (
    REBOOT_TURN,
    end_turn,
    end_vain_turn,
    heals_only,
    seconds_to_wait,
)
from reconciler.model import (
    Attempt,
    CommitId,
    Desired,
    Guard,
    HostName,
    HostStatus,
    Mode,
    Observed,
    Outcome,
    Plan,
    Reason,
    StepKind,
    Verdict,
)
from reconciler.plan import Baseline, runs, stranger
from reconciler.plan import plan as make_plan
from reconciler.revisions.evaluations import Evaluations
from reconciler.revisions.repository import Repository, Revision
from reconciler.revisions.wanted import (
    Later,
    NotYetError,
    Wanted,
    recall,
    remember,
    wanted_of,
)
from reconciler.world import World

log = structlog.get_logger(__name__)


FENCING = 60.0  # seconds that it may take until what another worker began has ended


def _nobody() -> None:
    """Hear that a host answers."""


class HostPass:
    """Runs passes. One instance serves all workers; a host is in one pass at a time."""

    def __init__(
        self,
        world: World,
        repository: Repository,
        evaluations: Evaluations,
        gate: Gate,
        *,
        later: Later | None = None,
        brought: BroughtLater | None = None,
    ) -> None:
        """
        With *later*, have hosts evaluated there, and heal them meanwhile.

        *brought* hears of what has ended.
        """
        self._world = world
        self._repository = repository
        self._evaluations = evaluations
        self._gate = gate
        self._later = later
        self._brought = brought
        self._bells: Bells | None = None
        self._standings = Standings(world, repository, evaluations)
        self._fenced: set[HostName] = set()  # they know that we have them
        self._boots: dict[HostName, str] = {}
        self._back_at: dict[HostName, float] = {}  # answered again after a reboot
        self._lead_times = LeadTimes()

    def run(self, host: HostName, *, found: Callable[[], None] = _nobody) -> Result:
        """
        Look at *host* and close what differs, as far as the policy allows.

        *found* is called once it has answered, before more is done there.
        """
        revision = self._repository.current
        if revision is None or host not in revision.hosts:
            return Done()
        if self._world.live.pulls(host):
            return self._told(revision, host)
        with ExitStack() as held:
            return self._run(revision, host, held, found)

    def _told(self, revision: Revision, host: HostName) -> Result:
        """Take what *host* reports; it may have been reached over SSH before."""
        world = self._world
        if self._bells:
            self._bells.forget(host)
        world.connections.forget(host)
        if world.history.unfinished(host):
            why = "was said to deploy itself"
            world.history.abandon(host, now=world.now(), why=why)
        return self._standings.told(revision, host)

    def _run(
        self,
        revision: Revision,
        host: HostName,
        held: ExitStack,
        found: Callable[[], None],
    ) -> Result:
        """Make a pass; the checkouts that it reads stay until *held* is closed."""
        try:
            evaluations, later = self._evaluations, self._later
            aim = wanted_of(self._world, evaluations, revision, host, held, later=later)
        except NotYetError:
            return Done()  # it is looked at once it was evaluated
        except StoppingError:
            raise
        except ReconcilerError as error:
            return self._standings.blind(revision, host, error)
        try:
            seen = self._meet(revision, aim, found)
        except (StoppingError, HostBusyError):
            raise
        except NoAddressError as error:
            return self._standings.unaddressed(revision, aim.desired, error)
        except ReconcilerError as error:
            return self._standings.unreachable(revision, aim.desired, error)
        return self._act(revision, aim, seen, held)

    def _meet(
        self, revision: Revision, wanted: Wanted, found: Callable[[], None]
    ) -> Look:
        """Look at a host, and see to its end what goes on there without us."""
        host, history = wanted.desired.host, self._world.history
        self._world.tell(host, "probing")
        policy = self._world.policy
        seen = meet(self._world, wanted.desired, wanted.checkout, policy=policy)
        found()
        self._note_boot(host, seen.observed)
        if self._is_another(seen):
            return seen
        shared = history.machines.meet(host, sighting(self._world, seen.observed))
        known = (seen.known.shared, seen.known.alike)
        if shared.inherited or known != (shared.same, shared.alike):
            # The plan was made before that was known.
            seen = look(self._world, wanted.desired, wanted.checkout, policy=policy)
        if stranger(seen.observed, seen.known):
            return seen
        self._fence(wanted.desired)
        return self._follow(revision, wanted, seen)

    def _is_another(self, seen: Look) -> bool:
        """Return whether it is not the machine, or no NixOS, whatever names it has."""
        alone = replace(seen.known, shared=frozenset(), alike=frozenset())
        return bool(stranger(seen.observed, alone))

    def hang(self, bells: Bells) -> None:
        """Have hosts that answer ring from now on."""
        self._bells = bells

    def aimed_at(self, status: HostStatus) -> CommitId | None:
        """Return the commit that a host was aimed at last, when it had *status*."""
        return self._standings.aimed_at(status)

    def hear(self, heard: Callable[[], None]) -> None:
        """Have *heard* called whenever it was recorded how a host stands."""
        self._standings.hear(heard)

    def forget(self, host: HostName) -> None:
        """Forget a host that left the repository."""
        self._lead_times.forget(host)
        self._standings.forget(host)
        self.took(host)
        for memory in (self._boots, self._back_at):
            memory.pop(host, None)

    def took(self, host: HostName) -> None:
        """Hear that we have *host* now, which another worker may have had."""
        self._fenced.discard(host)

    def _fence(self, desired: Desired) -> None:
        """
        Have a host that was changed before refuse whoever had it, before we look on.

        Raises HostBusyError while that one is at work, and what a writer raises.
        """
        world, host = self._world, desired.host
        if not world.history.takes.worker or host in self._fenced:
            return
        if world.policy.mode is not Mode.REPORT and world.history.attempts(
            host=host, limit=1
        ):
            target = where_it_is(world, desired).target
            with world.history.lock(host):
                writer = world.connections.writer(host, target)
                writer.run(("true",), what="note of who has it", deadline=FENCING)
        self._fenced.add(host)

    def _note_boot(self, host: HostName, observed: Observed) -> None:
        if self._boots.get(host, observed.boot_id) != observed.boot_id:
            log.info("rebooted", host=host)
            self._back_at[host] = observed.began_at
        self._boots[host] = observed.boot_id

    def _follow(self, revision: Revision, wanted: Wanted, seen: Look) -> Look:
        """
        See attempts to their end whose processes are gone; return a look thereafter.

        Raises HostBusyError where their process is not gone, OutOfSightError, and what
        looking raises.
        """
        world, host = self._world, wanted.desired.host
        if not world.history.unfinished(host):
            return seen
        with world.history.lock(host), self._hushed(host):
            for attempt in world.history.unfinished(host):
                guard = world.history.guard(attempt.id)
                if guard is None:
                    self._interrupt(attempt)
                    continue
                log.info("following", host=host, attempt=attempt.id)
                with ExitStack() as held:
                    if order := WayBack.kept_in(guard):
                        here = where_it_is(world, wanted.desired)
                        run = run_back(world, here, attempt, guard, order, held)
                    else:
                        baseline = baseline_in(guard)
                        run = self._run_of(revision, wanted, seen, attempt, baseline)
                    carried = Following(run=run).to_its_end()
                self._ended(carried, revision, run.desired)
                if carried.attempt.outcome is None and carried.error is not None:
                    raise carried.error
        # A guardian may have put back keys, and more, since *seen*.
        seen = meet(world, wanted.desired, wanted.checkout, policy=world.policy)
        self._note_boot(host, seen.observed)
        return seen

    def _interrupt(self, attempt: Attempt) -> None:
        """End an attempt of which nothing goes on."""
        world, outcome = self._world, Outcome.INTERRUPTED
        world.history.end(attempt.id, outcome, message=CUT_SHORT, now=world.now())

    def _run_of(
        self,
        revision: Revision,
        wanted: Wanted,
        seen: Look,
        attempt: Attempt,
        baseline: Baseline,
    ) -> AttemptRun:
        return AttemptRun(
            world=self._world,
            desired=wanted.desired,
            plan=seen.plan,
            checkout=wanted.checkout,
            attempt=attempt,
            seen=seen,
            superseded=self._superseded(revision),
            baseline=baseline,
        )

    def _act(
        self, revision: Revision, wanted: Wanted, seen: Look, held: ExitStack
    ) -> Result:
        if wanted.stale and not heals_only(seen.plan):
            return Done()  # the newer commit is about to be evaluated
        self._gate.aim(wanted.desired.host, stale=wanted.stale)
        error, after = wanted.problem, None
        aim, seen_of_aim = self._aim(wanted, seen, held)
        steps, host = seen_of_aim.plan.steps, wanted.desired.host
        wait = seconds_to_wait(self._world, self._gate, host, steps)
        plan, observed = seen.plan, seen.observed
        if steps and wait <= 0:
            carried = self._attempt(revision, aim, seen_of_aim)
            if carried is None or carried.attempt.outcome is Outcome.INTERRUPTED:
                return Again(0.0)  # nothing was touched; the next pass will tell
            if carried.attempt.outcome is None and carried.error is not None:
                return self._left(revision, wanted.desired, carried.error)
            plan, observed = self._plan(wanted, carried.seen), carried.seen.observed
            error = carried.error or error
            wait = after = self._gate.wait(host, self._world.monotonic())
        elif not steps:
            self._gate.forget(host)
            end_vain_turn(self._world, seen_of_aim.known, observed)
        self._standings.seen(revision, wanted, observed, plan, error)
        self._measure(revision, wanted, plan)
        self._tend(wanted.desired, seen)
        if error is not None and not isinstance(error, PermanentError):
            return Failed(error, after=after)
        if plan.waits_for is not None:
            return Again(REBOOT_TURN)
        return Again(wait) if plan.steps else Done()

    def _hushed(self, host: HostName) -> AbstractContextManager[None]:
        return self._bells.hushed(host) if self._bells else nullcontext()

    def _tend(self, desired: Desired, seen: Look) -> None:
        """See to it that a host rings, unless it is another machine."""
        if self._bells and not stranger(seen.observed, seen.known):
            history = self._world.history
            adopted = seen.known.adopted or history.is_adopted(desired.host)
            self._bells.tend(desired, adopted=adopted)

    def _aim(self, wanted: Wanted, seen: Look, held: ExitStack) -> tuple[Wanted, Look]:
        """
        Return what to do something about, and what there is to do.

        That is *wanted*; unless it failed here before. Then the host is to keep the
        system whole that it went back to, or has yet to go back to.
        """
        if seen.plan.verdict is not Verdict.QUARANTINED:
            return wanted, seen
        former = recall(self._world, wanted.desired.host, held)
        if former is None:
            return wanted, seen
        back = left_half_way(self._world, wanted.desired.host)
        keeps = runs(former.desired, seen.observed)
        if not keeps and former.desired.toplevel != back:
            return wanted, seen
        # Where it is, the look knows: not every commit that moves a host succeeds.
        target = where_it_is(self._world, wanted.desired).target
        # What it was left with half-way it did not bring itself.
        base = former.desired.base if keeps else None
        desired = replace(former.desired, target=target, base=base)
        former = replace(former, desired=desired)
        return former, replace(seen, plan=self._plan(former, seen))

    def _left(
        self, revision: Revision, desired: Desired, error: ReconcilerError
    ) -> Result:
        """Leave an attempt to its guardian: we are ending, or it is out of sight."""
        if isinstance(error, StoppingError):
            raise error
        return self._standings.unreachable(revision, desired, error)

    def _attempt(
        self, revision: Revision, wanted: Wanted, seen: Look
    ) -> Carried | None:
        """Carry a plan out; None if it was held, or put into quarantine, since."""
        world, plan, desired = self._world, seen.plan, wanted.desired
        replacing = (StepKind.ACTIVATE, StepKind.BOOT)
        switches = any(step.kind in replacing for step in plan.steps)
        observed = seen.observed
        baseline = baseline_of(world, desired, seen)
        guard = Guard(boot_id=observed.boot_id, baseline=baseline.to_json())
        with world.history.lock(desired.host), self._hushed(desired.host):
            if any(world.orders(desired.host, desired.toplevel)):
                world.history.turns.end_reboot(desired.host, unless_begun=True)
                return None
            attempt = world.history.begin(
                host=desired.host,
                commit=wanted.commit,
                verdict=plan.verdict,
                source=left_half_way(world, desired.host)
                or source_of(desired, observed),
                target=desired.toplevel,
                guard=guard if switches else None,
                now=world.now(),
            )
            told = {"host": desired.host, "attempt": attempt.id}
            log.info("attempt", **told, why=plan.verdict.value)
            carried = self._run_of(revision, wanted, seen, attempt, baseline).run()
        self._ended(carried, revision, desired, before=observed)
        end_turn(world, plan, carried)
        return carried

    def _ended(
        self,
        carried: Carried,
        revision: Revision,
        desired: Desired,
        *,
        before: Observed | None = None,
    ) -> None:
        """Space out attempts, and say how this one ended."""
        ended = carried.attempt
        if self._brought is not None:
            after = carried.seen.observed
            self._brought.note(ended, desired, before=before, after=after)
        outcome, now = ended.outcome, self._world.now()
        sentence(self._world, ended)
        self._lead_times.ended(ended)
        # A commit that arrived meanwhile is not to wait for what the last one did.
        over = outcome is Outcome.INTERRUPTED or ended.reason is Reason.ASKED
        if not over and not self._superseded(revision)():
            self._gate.tried(ended.host, self._world.monotonic())
        # A newer commit or a shutdown that cuts an attempt short is nobody's fault.
        bad = outcome in (Outcome.FAILED, Outcome.ROLLED_BACK)
        tell = log.error if bad else log.info
        tell(
            "attempt ended" if outcome else "attempt goes on without us",
            host=ended.host,
            attempt=ended.id,
            outcome=outcome.value if outcome else None,
            seconds=round((ended.ended_at or now) - ended.began_at, 3),
            error=ended.message or None,
        )

    def _superseded(self, revision: Revision) -> Callable[[], bool]:
        return lambda: self._repository.current is not revision

    def _plan(self, wanted: Wanted, seen: Look) -> Plan:
        """Plan anew: by our policy, and by what is known now."""
        world, desired = self._world, wanted.desired
        return make_plan(
            desired,
            seen.observed,
            known=world.known(desired),
            policy=world.policy,
            digests=world.digests(desired, wanted.checkout),
        )

    def _measure(self, revision: Revision, wanted: Wanted, plan: Plan) -> None:
        if not wanted.stale:
            self._lead_times.planned(plan, revision.commit.id)
            if plan.verdict is Verdict.CONVERGED and wanted.problem is None:
                self._converged(revision, wanted)

    def _converged(self, revision: Revision, wanted: Wanted) -> None:
        host = wanted.desired.host
        back_at = self._back_at.pop(host, None)
        if back_at is not None:
            seconds = max(0.0, self._world.now() - back_at)
            self._world.metrics.rebooted(host, seconds)
        if not self._gate.first_time(host, revision.commit.id):
            return
        remember(self._world, wanted)
        if self._lead_times.counts(revision, host):
            seconds = max(0.0, self._world.now() - revision.seen_at)
            self._world.metrics.converged(host, seconds)
