"""
Carry out a plan on one host, from the record of the attempt to its outcome.

This is the only place that knows the order of the steps:

1. history: attempt begun
2. build, copy
3. keys that come before activation
4. activate: switch the running system; what the host boots stays as it was
5. a new connection and a new probe (the old connection proves nothing)
6. late keys, owners that are new; keys no longer declared go; mend units; probe
7. only when nothing is left to do: make the system the boot default
8. history: outcome
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from reconciler import apply
from reconciler.errors import ReconcilerError, StoppingError, TemporaryError
from reconciler.loop.key_steps import KeySteps
from reconciler.loop.look import Look, look
from reconciler.loop.timing import timed
from reconciler.loop.world import World
from reconciler.model import (
    Attempt,
    Desired,
    DriftKind,
    HostName,
    Observed,
    Outcome,
    Phase,
    Plan,
    Policy,
    Step,
    StepKind,
    StepRecord,
    Verdict,
)
from reconciler.plan import is_open
from reconciler.remote import HostWriter

log = structlog.get_logger(__name__)

_OF_KEYS = (DriftKind.KEY_MISSING, DriftKind.KEY_CHANGED, DriftKind.KEY_PERMISSIONS)

COPY_DEADLINE = 3600.0  # seconds
ACTIVATE_DEADLINE = 900.0
BOOT_DEADLINE = 300.0
MEND_DEADLINE = 90.0


class SupersededError(TemporaryError):
    """A newer commit arrived before the host was touched."""

    def __init__(self) -> None:
        super().__init__("a newer commit arrived before the host was touched")


class UnhealthyError(TemporaryError):
    """Everything was carried out, and yet the host is not as it should be."""

    def __init__(self, host: HostName, wrong: Sequence[str]) -> None:
        self.wrong = tuple(wrong)
        super().__init__(f"{host}: after the change there is still: {', '.join(wrong)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What an attempt left behind: its record and the last look at the host."""

    attempt: Attempt
    seen: Look
    error: ReconcilerError | None = None


@dataclass(slots=True, kw_only=True)
class AttemptRun:
    """One attempt while it runs."""

    world: World
    desired: Desired
    plan: Plan
    checkout: Path  # where the contents of keys come from
    attempt: Attempt
    superseded: Callable[[], bool]
    seen: Look  # the last look at the host
    _steps: list[StepRecord] = field(default_factory=list)
    _keys: KeySteps = field(init=False)
    _before: Observed = field(init=False)  # the host as it was

    def __post_init__(self) -> None:
        self._before = self.seen.observed
        self._keys = KeySteps(self.world, self.desired, self.checkout, self._log)

    def run(self) -> Carried:
        """Carry out the plan; every error of the host ends in the outcome."""
        try:
            self._carry_out()
        except ReconcilerError as error:
            return self._end(_outcome(error), error)
        except BaseException:
            self._end(Outcome.INTERRUPTED, None)
            raise
        return self._end(Outcome.SUCCEEDED, None)

    def _carry_out(self) -> None:
        kinds = {step.kind for step in self.plan.steps}
        if StepKind.BUILD in kinds:
            self._step("build", Phase.BUILD, self._build)
        if StepKind.COPY in kinds:
            self._step("copy", Phase.COPY, self._copy)
        if self.superseded():
            raise SupersededError
        left = self._mend(self._switch(kinds))
        self._judge(left)
        if any(drift.kind is DriftKind.BOOT for drift in left.drifts):
            self._step("set boot default", Phase.ACTIVATE, self._set_boot)
            self._verify()

    def _switch(self, kinds: set[StepKind]) -> Plan:
        """Deliver the keys that come first, activate; return what is left to do."""
        if StepKind.DELIVER_KEYS in kinds:
            early = functools.partial(self._keys.early, self.plan)
            self._step("deliver keys", Phase.KEYS, early)
        if StepKind.ACTIVATE not in kinds:
            return self.plan
        self._keys.check_present(self.seen)
        self._step("activate", Phase.ACTIVATE, self._activate)
        return self._verify()

    def _mend(self, left: Plan) -> Plan:
        """Close what activation leaves open; return what is left to do then."""
        if self._keys.has_late(left):
            late = functools.partial(self._keys.late, left)
            self._step("deliver late keys", Phase.KEYS, late)
        steps = self._mending(left)
        if steps:
            names = ", ".join(f"{s.kind.value} {s.unit or ''}".strip() for s in steps)
            self._step(names, Phase.START, functools.partial(self._mend_units, steps))
        # Without a change there is nothing new to see.
        changed = steps or self._keys.changed
        return self._verify() if changed else left

    def _mending(self, left: Plan) -> list[Step]:
        steps = [step for step in left.steps if step.kind in apply.MEND_STEPS]
        restarts = self._keys.restarts(self._before, self.seen.observed)
        return list(dict.fromkeys((*steps, *restarts)))

    # --- the steps ---------------------------------------------------------------

    def _build(self) -> None:
        root = self.world.settings.state / "gcroots" / self.desired.host
        root.parent.mkdir(parents=True, exist_ok=True)
        self.world.evaluator.build(self.desired, root=root, on_line=self._log)

    def _copy(self) -> None:
        apply.copy_closure(
            self.desired,
            ssh=self.world.openssh(self.desired.target),
            deadline=COPY_DEADLINE,
            on_line=self._log,
        )

    def _activate(self) -> None:
        whole = apply.activate(
            self._writer(),
            self.desired.toplevel,
            self.attempt.id,
            deadline=ACTIVATE_DEADLINE,
            on_line=self._log,
        )
        if not whole:
            self._log("switch-to-configuration: some unit failed; looking which")

    def _set_boot(self) -> None:
        apply.set_boot(
            self._writer(),
            self.desired.toplevel,
            self.attempt.id,
            deadline=BOOT_DEADLINE,
            on_line=self._log,
        )

    def _mend_units(self, steps: list[Step]) -> None:
        writer = self._writer()
        apply.mend(writer, steps, deadline=MEND_DEADLINE, on_line=self._log)

    # --- judging -----------------------------------------------------------------

    def _verify(self) -> Plan:
        """Look again over a new connection; return what is left to do."""
        self._step("verify", Phase.VERIFY, self._look)
        return self.seen.plan

    def _look(self) -> None:
        self.world.connections.reconnect(self.desired.host)
        self.seen = look(
            self.world,
            self.desired,
            self.checkout,
            policy=Policy(),
            phase=Phase.PROBE,
        )

    def _judge(self, left: Plan) -> None:
        """Raise UnhealthyError if anything is left that this attempt answers for."""
        # A key whose source is lost is told of; it is not for this attempt to mend.
        lost = self.seen.digests.problems
        excused = self._broken_before() | {
            (kind, name) for kind in _OF_KEYS for name in lost
        }
        wrong = [
            f"{drift.kind.value} {drift.subject}".strip()
            for drift in left.drifts
            if is_open(drift)
            and drift.kind is not DriftKind.BOOT
            and (drift.kind, drift.subject) not in excused
        ]
        if wrong:
            raise UnhealthyError(self.desired.host, wrong)

    def _broken_before(self) -> set[tuple[DriftKind, str]]:
        """
        Return what was broken before a switch that does not touch it.

        A deployment that is taken up again after its switch excuses nothing: what is
        broken by now may have been broken by the switch.
        """
        switching = any(drift.kind is DriftKind.SYSTEM for drift in self.plan.drifts)
        if self.plan.verdict is not Verdict.DEPLOY or not switching:
            return set()
        return {
            (drift.kind, drift.subject)
            for drift in self.plan.drifts
            if drift.kind is DriftKind.UNIT_FAILED
        }

    # --- telling -----------------------------------------------------------------

    def _writer(self) -> HostWriter:
        return self.world.connections.writer(self.desired.host, self.desired.target)

    def _log(self, line: str) -> None:
        self.world.history.log(self.attempt.id, [line], now=self.world.now())

    def _step(self, name: str, phase: Phase, act: Callable[[], None]) -> None:
        world, began = self.world, self.world.now()
        world.tell(self.desired.host, name)
        problem = ""
        try:
            with timed(world, phase):
                act()
        except ReconcilerError as error:
            problem = str(error)
            raise
        finally:
            seconds = max(0.0, world.now() - began)
            record = StepRecord(
                name=name, began_at=began, seconds=seconds, error=problem
            )
            self._steps.append(record)
            world.history.step(self.attempt.id, record)
            log.info(
                "step",
                host=self.desired.host,
                attempt=self.attempt.id,
                step=name,
                seconds=round(seconds, 3),
                error=problem or None,
            )

    def _end(self, outcome: Outcome, error: ReconcilerError | None) -> Carried:
        message = str(error) if error else ""
        world = self.world
        world.history.end(self.attempt.id, outcome, message=message, now=world.now())
        ended = world.history.attempt(self.attempt.id)
        world.metrics.attempt_ended(ended)
        return Carried(attempt=ended, seen=self.seen, error=error)


def _outcome(error: ReconcilerError) -> Outcome:
    if isinstance(error, SupersededError | StoppingError):
        return Outcome.INTERRUPTED
    return Outcome.FAILED
