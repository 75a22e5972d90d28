"""
Take a host back to an older generation, because a person says so.

The same guardian watches over it as over a deployment, so that a system which cannot be
reached is not kept. What a person asks for is not judged further: that some unit of the
old system fails is told and no reason to refuse it. The host is held from before the
switch, so that the loop does not bring the commit's system back.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from reconciler import apply
from reconciler.apply.guardian import Decision, Guarded, Order, Result
from reconciler.attempt import brought
from reconciler.attempt.guarded_switch import (
    GuardedSwitch,
    OutOfSightError,
    RolledBackError,
    limits,
)
from reconciler.attempt.look import sighting
from reconciler.attempt.recorded import Recorded
from reconciler.errors import (
    ActivationError,
    ReconcilerError,
    StoppingError,
    WrongMachineError,
)
from reconciler.history import ROLLBACK
from reconciler.model import (
    Attempt,
    CommitId,
    Desired,
    Guard,
    Hold,
    Observed,
    Outcome,
    Phase,
    Reason,
    Target,
    Verdict,
)
from reconciler.observed import Generation, deadline_for, probe
from reconciler.plan import told_shared
from reconciler.world import World, note_way, way_of

PAUSE = 0.5  # seconds between two tries to reach the host after the switch


def tell_nobody(_attempt: Attempt) -> None:
    """Hear nothing."""


@dataclass(slots=True, kw_only=True)
class Rollback:
    """
    One way back; *desired* says where the host is, and *hold* why it is taken.

    *begun* hears of the attempt once it is recorded.
    """

    world: World
    desired: Desired
    generation: Generation
    hold: Hold
    begun: Callable[[Attempt], None] = tell_nobody
    _former: Target | None = field(init=False, default=None)  # how it is reached now
    _recorded: Recorded = field(init=False)
    _switch: GuardedSwitch = field(init=False)
    _after: Observed | None = None  # a look at what it was taken back to

    def run(self) -> Attempt:
        """
        Switch, set the boot default, hold; return the attempt as it was recorded.

        An attempt that failed is returned as well: the host runs what it ran then, and
        is held only if it was before. Raises HostBusyError, WrongMachineError, what
        looking at the host raises, and OutOfSightError: then the guardian goes on, and
        the daemon follows it. The hold stays whatever comes of that.
        """
        host, history = self.desired.host, self.world.history
        self._find_way()
        with history.lock(host):
            observed = self._probe()
            self._check_machine(observed)
            before = history.hold_of(host, self.world.now())
            attempt = self._begin(observed)
            history.hold(self.hold)
            self.begun(attempt)
            ended = self._to_its_end(attempt)
            self._note_brought(ended, observed)
            if ended.outcome is not Outcome.SUCCEEDED:
                self._let_go(before)
        history.event(
            now=self.world.now(),
            kind=ROLLBACK,
            host=host,
            actor=self.hold.actor,
            text=ended.message,
        )
        return ended

    def _find_way(self) -> None:
        """Have the host be reached as it is now, and then as that generation was."""
        world, now = self.world, self.desired.target
        then = way_of(world, self.desired.host, self.generation.toplevel)
        world.connections.go_by(self.desired.host, None)
        if then not in (None, now):
            world.connections.go_by(self.desired.host, now)
            world.connections.introduce(now, then)
            self.desired = replace(self.desired, target=then)
            self._former = now

    def _check_machine(self, observed: Observed) -> None:
        host = self.desired.host
        known = self.world.history.machines.id_of(host)
        if known not in (None, observed.machine_id):
            message = f"another machine answers as {host}; see: reconciler plan {host}"
            raise WrongMachineError(message)
        shared = self.world.history.machines.shared(
            host, sighting(self.world, observed)
        )
        if shared.same:
            raise WrongMachineError(told_shared(host, shared.same))
        if observed.running is None:
            message = f"{host} does not run NixOS"
            raise ActivationError(message, host=host)

    def _begin(self, observed: Observed) -> Attempt:
        world, target = self.world, self.generation.toplevel
        running = observed.running or target
        commit = world.history.commits_of(self.desired.host).get(target, CommitId(""))
        attempt = world.history.begin(
            host=self.desired.host,
            commit=commit,
            verdict=Verdict.DEPLOY,
            source=running,
            target=target,
            guard=Guard(boot_id=observed.boot_id, baseline=""),
            now=world.now(),
        )
        self._recorded = Recorded(world=world, attempt=attempt)
        order = Order(
            attempt=attempt.id,
            new=target,
            old=running,
            limits=limits(world, self.desired),
        )
        self._switch = GuardedSwitch(
            world=world,
            desired=self.desired,
            order=order,
            log=self._recorded.line,
            former=self._former,
        )
        return attempt

    def _to_its_end(self, attempt: Attempt) -> Attempt:
        try:
            failed = self._carry_out()
        except (OutOfSightError, StoppingError):
            raise
        except ReconcilerError as error:
            return self._end(attempt, error)
        except BaseException:
            if not self._switch.goes_on:
                self._end(attempt, StoppingError("the rollback"))
            raise
        return self._end(attempt, None, self._told(failed))

    def _told(self, failed: list[str]) -> str:
        by = f" by {self.hold.actor}" if self.hold.actor else ""
        told = f"taken back to generation {self.generation.number}{by}"
        if failed:
            told += f"; these units have failed there: {', '.join(failed)}"
        return told

    def _carry_out(self) -> list[str]:
        """Switch and confirm; return the units that have failed by then."""
        step, desired = self._recorded.step, self.desired
        writer = self.world.connections.writer(desired.host, desired.target)
        order = self._switch.order
        apply.protect(writer, order.new, order.old)
        step("activate", Phase.ACTIVATE, self._switch.switch)
        seen: list[Observed] = []
        try:
            step("verify", Phase.VERIFY, lambda: seen.append(self._look_again()))
        except StoppingError:
            raise
        except ReconcilerError as error:
            self._go_forward(error)
        step("confirm", Phase.CONFIRM, self._switch.confirm)
        self._after = seen[0]
        units = seen[0].units.values()
        return sorted(one.name for one in units if one.active_state == "failed")

    def _look_again(self) -> Observed:
        """Look over a new connection, for as long as the guardian waits."""
        world = self.world
        give_up = world.monotonic() + world.settings.policy.confirm_timeout
        world.connections.go_by(self.desired.host, None)
        while True:
            world.connections.reconnect(self.desired.host)
            try:
                observed = self._probe()
            except StoppingError:
                raise
            except ReconcilerError:
                if world.monotonic() > give_up:
                    raise
                world.pause(PAUSE)
                continue
            if observed.running != self.generation.toplevel:
                message = f"{self.desired.host}: it does not run that generation"
                raise ActivationError(message, host=self.desired.host)
            note_way(world, self.desired.host, observed.running, self.desired.target)
            return observed

    def _go_forward(self, error: ReconcilerError) -> None:
        """Have the guardian return to what ran, and raise what that makes of it."""
        found: list[Guarded] = []

        def decide() -> None:
            found.append(self._switch.decide(Decision.ROLL_BACK))

        self._recorded.step("roll back", Phase.ROLL_BACK, decide)
        if found[0].result is not Result.ROLLED_BACK:
            raise self._switch.error(found[0]) from error
        message = f"{error}; the host runs what it ran before"
        raise RolledBackError(message, reason=Reason.UNCONFIRMED) from error

    def _probe(self) -> Observed:
        world, desired = self.world, self.desired
        reader = world.connections.reader(desired.host, desired.target)
        return probe(
            reader, (), now=world.now(), deadline=deadline_for(len(desired.units))
        )

    def _end(
        self, attempt: Attempt, error: ReconcilerError | None, message: str = ""
    ) -> Attempt:
        world = self.world
        ended = world.history.end(
            attempt.id,
            _outcome(error),
            message=str(error) if error else message,
            reason=error.reason if isinstance(error, RolledBackError) else None,
            now=world.now(),
        )
        world.metrics.attempt_ended(ended)
        return ended

    def _note_brought(self, ended: Attempt, before: Observed) -> None:
        if self._after is not None:
            brought.note(
                self.world, ended, self.desired, before=before, after=self._after
            )

    def _let_go(self, before: Hold | None) -> None:
        if before is not None:
            self.world.history.hold(before)
        else:
            now = self.world.now()
            self.world.history.release(self.desired.host, now=now)


def _outcome(error: ReconcilerError | None) -> Outcome:
    match error:
        case None:
            return Outcome.SUCCEEDED
        case RolledBackError():
            return Outcome.ROLLED_BACK
        case StoppingError():
            return Outcome.INTERRUPTED
        case _:
            return Outcome.FAILED
