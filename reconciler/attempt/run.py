"""
Carry out a plan on one host, from the record of the attempt to its outcome.

This is the only place that knows the order of the steps. Where another system is to
run, a guardian on the host watches over it (`reconciler.attempt.guarded_switch`):

1. history: attempt begun, with what it takes to follow it
2. build, protect from garbage collection, copy (`reconciler.attempt.making`)
3. keys that come before activation; the guardian keeps the old ones aside
4. the guardian switches the running system; what the host boots stays as it was
5. a new connection and a new probe (the old connection proves nothing)
6. late keys, owners that are new; keys no longer declared go; mend units; probe
7. the health gate: everything is up, stays so, and declared checks pass
8. over that new connection: confirm, whereupon the guardian sets the boot default;
   or roll back, which it does by itself if nobody confirms
9. history: outcome

A plan that only heals has no steps 4, 7 and 8; the boot default comes last there too.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog

from reconciler import apply
from reconciler.apply.guardian import Decision, Guarded, Order, Result
from reconciler.attempt import way_home
from reconciler.attempt.carried import (
    Carried,
    SupersededError,
    outcome_of,
)
from reconciler.attempt.guarded_switch import (
    GuardedSwitch,
    OutOfSightError,
    RolledBackError,
    StuckError,
)
from reconciler.attempt.health_gate import HealthGate, patiently, require_mended
from reconciler.attempt.judges import ByHealth, Judge, end
from reconciler.attempt.key_steps import KeySteps, to_restore
from reconciler.attempt.limits import limits
from reconciler.attempt.look import Look, look
from reconciler.attempt.making import Making
from reconciler.attempt.reach import former_way, note_confirmed
from reconciler.attempt.reboot import DEADLINE, RebootError, reboot
from reconciler.attempt.recorded import Recorded
from reconciler.attempt.sign import sign
from reconciler.attempt.unreached import OF_REACH, explained, told_unreached
from reconciler.errors import ReconcilerError, StoppingError
from reconciler.model import (
    Attempt,
    Desired,
    DriftKind,
    Observed,
    Outcome,
    Phase,
    Plan,
    Policy,
    Reason,
    Step,
    StepKind,
)
from reconciler.plan import Baseline
from reconciler.remote import HostWriter
from reconciler.world import HostWorld

log = structlog.get_logger(__name__)

MEND_DEADLINE = 90.0  # seconds


@dataclass(slots=True, kw_only=True)
class AttemptRun:
    """One attempt while it runs."""

    world: HostWorld
    desired: Desired
    plan: Plan
    checkout: Path  # where the contents of keys come from
    attempt: Attempt
    superseded: Callable[[], bool]
    seen: Look  # the last look at the host
    baseline: Baseline  # what was healthy before
    judge: Judge = field(default_factory=ByHealth)
    _recorded: Recorded = field(init=False)
    _keys: KeySteps = field(init=False)
    _before: Observed = field(init=False)  # the host as it was
    guarded: GuardedSwitch = field(init=False)
    _give_up: float = float("inf")  # when it must be healthy; on World.monotonic
    _patient_until: float = 0.0  # what gets no answer is asked again; under a guardian
    _seen_at: float = 0.0  # when it was seen last, or switched; on World.monotonic

    def __post_init__(self) -> None:
        self._before = self.seen.observed
        self._recorded = Recorded(world=self.world, attempt=self.attempt)
        self._keys = KeySteps(self.world, self.desired, self.checkout, self._log)
        boots = any(step.kind is StepKind.BOOT for step in self.plan.steps)
        order = Order(
            attempt=self.attempt.id,
            new=self.attempt.target,
            old=way_home.source(self.attempt, self.desired),
            limits=limits(self.world, self.desired, boots=boots),
            specialisation=self.plan.specialisation,
            keys=() if boots else to_restore(self.desired, self.seen),
        )
        self.guarded = GuardedSwitch(
            world=self.world,
            desired=self.desired,
            order=order,
            log=self._log,
            ill_before=self.baseline.snippets,
            former=former_way(self.world, self.desired),
        )

    def run(self) -> Carried:
        """Carry out the plan; every error of the host ends in the outcome."""
        return self.to_its_end(self._carry_out)

    def to_its_end(self, act: Callable[[], None]) -> Carried:
        """Do *act*, and record what that makes of the attempt."""
        try:
            with structlog.contextvars.bound_contextvars(attempt=self.attempt.id):
                act()
        except ReconcilerError as error:
            if self.guarded.goes_on:
                return Carried(attempt=self.attempt, seen=self.seen, error=error)
            return self._end(outcome_of(error), error)
        except BaseException:
            if not self.guarded.goes_on:
                self._end(Outcome.INTERRUPTED, None)
            raise
        return self._end(Outcome.SUCCEEDED, None)

    def _carry_out(self) -> None:
        kinds = {step.kind for step in self.plan.steps}
        self._making().make(kinds)
        if self.superseded():
            raise SupersededError
        if kinds & {StepKind.ACTIVATE, StepKind.BOOT}:
            way_home.require_before(self.world, self.desired, self.seen.known)
        sign(self.world, self.desired, self._before, self._log)
        if StepKind.ACTIVATE in kinds:
            self.replace_system()
        elif StepKind.BOOT in kinds:
            self.under_guard(self._boot_into)
        elif StepKind.REBOOT in kinds:
            self._restart()
        elif StepKind.JUDGE in kinds:
            self.become_healthy()
        else:
            self._heal(kinds)

    # --- another system ----------------------------------------------------------

    def replace_system(self) -> None:
        """Switch to the system, which the host has by now, with its keys."""
        self.under_guard(self._replace)

    def under_guard(self, act: Callable[[], None]) -> None:
        """Do *act* and confirm; on any failure have the guardian go back."""
        try:
            act()
        except (StoppingError, OutOfSightError):
            raise
        except ReconcilerError as error:
            if not self.guarded.goes_on:
                raise
            self._go_back(error)
        self.step("confirm", Phase.CONFIRM, self.guarded.confirm)
        note_confirmed(self.world, self.desired, self.attempt.target)
        self.step("verify", Phase.VERIFY, self._look_after)

    def _replace(self) -> None:
        if any(step.kind is StepKind.DELIVER_KEYS for step in self.plan.steps):
            self.step("guard", Phase.ACTIVATE, self.guarded.start)
            self._deliver_early()
        self._keys.check_present(self.seen)
        self.step("activate", Phase.ACTIVATE, self.guarded.switch)
        self.become_healthy()

    def _boot_into(self) -> None:
        """Boot the new system, which cannot be switched to; its keys come then."""
        self._keys.check_present(self.seen)
        left = self._before.boot_id
        self.step("boot into it", Phase.REBOOT, lambda: self.guarded.boot_into(left))
        self.become_healthy()

    def become_healthy(self) -> None:
        """Mend what the switch left, and pass the health gate."""
        # What was booted into is the system itself, whichever part of it is wanted.
        base = replace(self.desired, specialisation="")
        gate = HealthGate(
            world=self.world,
            desired=base if self.guarded.boots else self.desired,
            baseline=self.baseline,
            checkout=self.checkout,
            recorded=self._recorded,
            look=self._look_again,
        )
        began = self.world.monotonic()
        try:
            self._pass_gate(gate)
        finally:
            self.world.metrics.health_gate(self.world.monotonic() - began)

    def _pass_gate(self, gate: HealthGate) -> None:
        give_up = self._give_up = gate.give_up()
        self._seen_at = self.world.monotonic()
        # The old connection proves nothing, nor does a way that the commit leaves.
        self.world.connections.go_by(self.desired.host, None)
        self.world.connections.reconnect(self.desired.host)
        self._patient_until = gate.last_call(give_up)
        first = functools.partial(gate.patient_look, give_up)
        self.step("verify", Phase.VERIFY, lambda: self._note(first()))
        self._mend(self.seen.plan)
        self._note(self.judge.judge(gate, self.seen, give_up))

    def _go_back(self, error: ReconcilerError) -> None:
        """Have the guardian roll back, and raise what that makes of *error*."""
        found: list[Guarded] = []
        told = self._told(error)

        def decide() -> None:
            found.append(self.guarded.decide(Decision.ROLL_BACK))

        self.step("roll back", Phase.ROLL_BACK, decide)
        if found[0].result is Result.NOT_STARTED:
            raise error  # the host runs what it ran
        if not self.guarded.went_back(found[0]):
            raise self.guarded.error(found[0], told) from error
        self.world.connections.go_by(self.desired.host, self.guarded.former)
        self.world.connections.reconnect(self.desired.host)
        before = self.seen
        self._look_after()
        looked = self.seen is not before
        runs_it = looked and self.seen.observed.running == self.attempt.target
        if runs_it and not found[0].known:
            message = f"{told}; IT WAS BOOTED, AND RUNS ITS NEW SYSTEM STILL"
            raise StuckError(message, host=self.desired.host) from error
        reach = isinstance(error, (*OF_REACH, way_home.CutOffError))
        reason = Reason.UNCONFIRMED if reach else Reason.UNHEALTHY
        message = f"{told}; rolled back"
        raise RolledBackError(message, reason=reason) from error

    def _told(self, error: ReconcilerError) -> str:
        """Return what *error* says, since when, and what of the commit explains it."""
        told = told_unreached(error, silent=self.world.monotonic() - self._seen_at)
        former = self.seen.known.former
        reach = isinstance(error, OF_REACH)
        return explained(told, self.desired, former) if reach else told

    def _look_after(self) -> None:
        """
        Look at the host once more, for its status.

        The attempt is over by now, and ended as it did whatever comes of this: the next
        pass, or the next process, looks else.
        """
        try:
            self._note(self._look_again())
        except ReconcilerError as error:
            self._log(f"cannot look at it afterwards: {error}")

    # --- a reboot ----------------------------------------------------------------

    def _restart(self) -> None:
        """Boot the system that runs, whose kernel or systemd does not run yet."""
        self.step("reboot", Phase.REBOOT, self._reboot)
        self.become_healthy()
        running = self.seen.observed.running
        if running != self.desired.toplevel:
            message = f"{self.desired.host}: booted another system: {running}"
            raise RebootError(message)

    def _reboot(self) -> None:
        reboot(
            self.world,
            self.desired,
            boot_id=self._before.boot_id,
            seconds=DEADLINE,
            why="the policy allows it",
        )

    # --- the same system ---------------------------------------------------------

    def _heal(self, kinds: set[StepKind]) -> None:
        if StepKind.DELIVER_KEYS in kinds:
            self._deliver_early()
        left = self._mend(self.plan)
        require_mended(left, self.seen.digests.problems)
        if any(drift.kind is DriftKind.BOOT for drift in left.drifts):
            self.step("set boot default", Phase.CONFIRM, self.guarded.set_boot)
            self._verify()

    def _deliver_early(self) -> None:
        early = functools.partial(self._keys.early, self.plan)
        self.step("deliver keys", Phase.KEYS, early)

    def _mend(self, left: Plan) -> Plan:
        """Close what activation leaves open; return what is left to do then."""
        if self._keys.has_late(left):
            late = functools.partial(self._keys.late, left)
            self.step("deliver late keys", Phase.KEYS, late)
        steps = self._mending(left)
        if steps:
            names = ", ".join(f"{s.kind.value} {s.unit or ''}".strip() for s in steps)
            self.step(names, Phase.START, functools.partial(self._mend_units, steps))
        # Without a change there is nothing new to see.
        changed = steps or self._keys.changed
        return self._verify() if changed else left

    def _mending(self, left: Plan) -> list[Step]:
        steps = [step for step in left.steps if step.kind in apply.MEND_STEPS]
        restarts = self._keys.restarts(self._before, self.seen.observed)
        return list(dict.fromkeys((*steps, *restarts)))

    # --- the steps ---------------------------------------------------------------

    def _making(self) -> Making:
        return Making(
            world=self.world,
            desired=self.desired,
            checkout=self.checkout,
            before=self.attempt.source,
            step=self.step,
            log=self._log,
        )

    def _mend_units(self, steps: list[Step]) -> None:
        # Under a guardian, time is short: it goes back unless we confirm.
        left = max(1.0, self._give_up - self.world.monotonic())
        deadline = min(MEND_DEADLINE, left)

        def mend() -> None:
            apply.mend(self._writer(), steps, deadline=deadline, on_line=self._log)

        self._patiently(mend)

    # --- judging -----------------------------------------------------------------

    def _verify(self) -> Plan:
        """Look again over a new connection; return what is left to do."""
        self.step("verify", Phase.VERIFY, self.look)
        return self.seen.plan

    def look(self) -> None:
        """Look at the host over a new connection; see ``seen``."""
        self.world.connections.reconnect(self.desired.host)
        self._patiently(lambda: self._note(self._look_again()))

    def _patiently(self, act: Callable[[], None]) -> None:
        patiently(self.world, self.desired.host, act, until=self._patient_until)

    def _note(self, seen: Look) -> None:
        self.seen = seen
        self._seen_at = self.world.monotonic()

    def _look_again(self) -> Look:
        seen = look(
            self.world,
            self.desired,
            self.checkout,
            policy=Policy(units=self.world.policy.units),
            phase=Phase.PROBE,
            under_way=True,
        )
        return replace(seen, plan=self.judge.chosen(seen.plan))

    # --- telling -----------------------------------------------------------------

    def _writer(self) -> HostWriter:
        return self.world.connections.writer(self.desired.host, self.desired.target)

    def _log(self, line: str) -> None:
        self._recorded.line(line)

    def step(self, name: str, phase: Phase, act: Callable[[], None]) -> None:
        """Do *act* and record it as a step."""
        self._recorded.step(name, phase, act)

    def _end(self, outcome: Outcome, error: ReconcilerError | None) -> Carried:
        ended = end(
            self.world, self.attempt, self.judge, outcome, error, seen=self.seen
        )
        if outcome is Outcome.SUCCEEDED and self.plan.only_path:
            self.world.metrics.path_changed(ended.host)
        return Carried(attempt=ended, seen=self.seen, error=error)
