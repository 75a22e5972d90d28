"""
Who says whether a host may keep the system that it was switched to.

What a commit brings is judged by its health. What a person wants back is not; see
`reconciler.attempt.ordered`.
"""

from typing import Protocol

from reconciler.attempt.guarded_switch import (
    RebootFirstError,
    RolledBackError,
    StuckError,
)
from reconciler.attempt.health_gate import HealthGate
from reconciler.attempt.look import Look
from reconciler.errors import ReconcilerError
from reconciler.model import Attempt, Outcome, Plan
from reconciler.world import Common


class Judge(Protocol):
    """What differs between attempts that bring another system to a host."""

    def chosen(self, plan: Plan) -> Plan:
        """Return what of a plan is to be carried out."""

    def judge(self, gate: HealthGate, seen: Look, give_up: float) -> Look:
        """Return the last look at a host that may keep it, and raise else."""

    def ends(
        self,
        world: Common,
        outcome: Outcome,
        error: ReconcilerError | None,
        seen: Look,
    ) -> str:
        """Hear how it ends, before that is recorded; return what to say of it."""


class ByHealth:
    """The judge of what commits bring."""

    def chosen(self, plan: Plan) -> Plan:
        """See Judge."""
        return plan

    def judge(self, gate: HealthGate, seen: Look, give_up: float) -> Look:
        """See Judge."""
        return gate.judge(seen, give_up)

    def ends(
        self,
        world: Common,
        outcome: Outcome,
        error: ReconcilerError | None,
        seen: Look,
    ) -> str:
        """See Judge."""
        del world, outcome, seen
        return str(error) if error else ""


def end(
    world: Common,
    attempt: Attempt,
    judge: Judge,
    outcome: Outcome,
    error: ReconcilerError | None,
    *,
    seen: Look,
) -> Attempt:
    """Record how an attempt ended, and return it as it is kept."""
    telling = RolledBackError | StuckError | RebootFirstError
    reason = error.reason if isinstance(error, telling) else None
    ended = world.history.end(
        attempt.id,
        outcome,
        message=judge.ends(world, outcome, error, seen),
        reason=reason,
        now=world.now(),
    )
    world.metrics.attempt_ended(ended)
    return ended
