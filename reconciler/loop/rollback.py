"""
Take a host back to an older generation, because a person says so.

An attempt like any other, with another judge: see `reconciler.attempt.ordered`. The
system is on the host already. What commit declared it is looked for only for its keys,
so that neither the repository nor Nix is needed to go back.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler import apply
from reconciler.attempt import brought
from reconciler.attempt.carried import Carried, outcome_of
from reconciler.attempt.judges import end
from reconciler.attempt.look import Look, look
from reconciler.attempt.ordered import ByOrder, WayBack
from reconciler.attempt.run import AttemptRun
from reconciler.errors import ReconcilerError, StoppingError, WrongMachineError
from reconciler.model import (
    Attempt,
    CommitId,
    Desired,
    Guard,
    Hold,
    Observed,
    Outcome,
    Policy,
    StorePath,
    Verdict,
)
from reconciler.observed import Generation
from reconciler.plan import Baseline, stranger
from reconciler.revisions.wanted import Wanted, declaring
from reconciler.world import World, way_of


def tell_nobody(_attempt: Attempt) -> None:
    """Hear nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """
    One way back; *desired* says where the host is, and *hold* why it is taken.

    *begun* hears of the attempt once it is recorded.
    """

    world: World
    desired: Desired
    generation: Generation
    hold: Hold
    keep_keys: bool = False
    begun: Callable[[Attempt], None] = tell_nobody

    def run(self) -> Attempt:
        """
        Switch, set the boot default, hold; return the attempt as it was recorded.

        An attempt that failed is returned as well: the host runs what it ran then, and
        is held only if it was before. Raises HostBusyError, WrongMachineError, what
        looking at the host raises, and OutOfSightError: then the guardian goes on, and
        the daemon follows it. The hold stays until that has ended.
        """
        world, host = self.world, self.desired.host
        world.connections.go_by(host, None)
        with world.history.lock(host), ExitStack() as held:
            seen = _seen(world, _unknown(self.desired, self.generation.toplevel))
            if strange := stranger(seen.observed, seen.known):
                message = f"{host}: {strange}"
                raise WrongMachineError(message)
            order = WayBack(
                generation=self.generation.number,
                hold=self.hold,
                before=world.history.hold_of(host, world.now()),
                keep_keys=self.keep_keys,
            )
            observed = seen.observed
            guard = Guard(boot_id=observed.boot_id, baseline=order.to_json())
            attempt = self._begin(observed, guard)
            world.history.hold(self.hold)
            self.begun(attempt)
            carried = self._carried(attempt, guard, order, seen, held)
        if carried.attempt.outcome is None and carried.error is not None:
            raise carried.error
        return carried.attempt

    def _begin(self, observed: Observed, guard: Guard) -> Attempt:
        world, host, target = self.world, self.desired.host, self.generation.toplevel
        return world.history.begin(
            host=host,
            commit=world.history.commits_of(host).get(target, CommitId("")),
            verdict=Verdict.DEPLOY,
            source=observed.running,
            target=target,
            guard=guard,
            now=world.now(),
        )

    def _carried(
        self,
        attempt: Attempt,
        guard: Guard,
        order: WayBack,
        seen: Look,
        held: ExitStack,
    ) -> Carried:
        world, judge = self.world, ByOrder(order=order)
        try:
            run = run_back(world, self.desired, attempt, guard, order, held)
        except ReconcilerError as error:
            ended = end(world, attempt, judge, outcome_of(error), error, seen=seen)
            return Carried(attempt=ended, seen=seen, error=error)
        except BaseException:
            end(world, attempt, judge, Outcome.INTERRUPTED, None, seen=seen)
            raise
        carried = run.to_its_end(lambda: _bring(run))
        ended, after = carried.attempt, carried.seen.observed
        brought.note(world, ended, run.desired, before=seen.observed, after=after)
        return carried


def run_back(
    world: World,
    desired: Desired,
    attempt: Attempt,
    guard: Guard,
    order: WayBack,
    held: ExitStack,
) -> AttemptRun:
    """
    Return the attempt to take a host back that began so, or is to be followed.

    *desired* says where the host is: there it is reached now, and then as it was with
    that system. Raises what looking raises, and StateError.
    """
    aim, keys = _aim(world, desired, attempt.target, order, held)
    host, now = desired.host, desired.target
    then = way_of(world, host, attempt.target) or now
    if then != now:
        world.connections.go_by(host, now)
        world.connections.introduce(now, then)
    aim = replace(aim, desired=replace(aim.desired, target=then, checks=()))
    judge, seen = ByOrder(order=order, keys=keys), _seen(world, aim)
    return AttemptRun(
        world=world,
        desired=aim.desired,
        plan=judge.chosen(seen.plan),
        checkout=aim.checkout,
        attempt=attempt,
        seen=seen,
        superseded=lambda: False,
        baseline=Baseline(boot_id=guard.boot_id),
        judge=judge,
    )


def _bring(run: AttemptRun) -> None:
    writer = run.world.connections.writer(run.desired.host, run.desired.target)
    apply.protect(writer, run.attempt.target, run.attempt.source)
    run.replace_system()


def _aim(
    world: World, desired: Desired, system: StorePath, order: WayBack, held: ExitStack
) -> tuple[Wanted, str]:
    """Return what was declared with a *system*, and what becomes of keys."""
    if order.keep_keys:
        return _unknown(desired, system), "keys stay as they are"
    try:
        found = declaring(world, desired.host, system, held)
    except StoppingError:
        raise
    except ReconcilerError as error:
        return _unknown(desired, system), f"keys stay as they are: {error}"
    keys = f"with the keys of commit {found.commit[:8]}" if found.desired.keys else ""
    return found, keys


def _unknown(desired: Desired, system: StorePath) -> Wanted:
    """Return all that is known of a *system* without the commit that declares it."""
    bare = replace(
        desired,
        toplevel=system,
        keys={},
        checks=(),
        specialisation="",
        specialisations=(),
    )
    return Wanted(desired=bare, commit=CommitId(""), checkout=Path())


def _seen(world: World, aim: Wanted) -> Look:
    policy = Policy(units=world.policy.units)
    return look(world, aim.desired, aim.checkout, policy=policy, under_way=True)
