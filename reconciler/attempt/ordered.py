"""
A generation that a person wants back: what was ordered, and how that is judged.

It is kept if the host runs it and can be reached over a new connection. That some unit
fails there is told and no reason to refuse it. The host is held from before the switch,
so that the loop does not bring the commit's system back; and not any more if it failed.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from reconciler.attempt.health_gate import HealthGate
from reconciler.attempt.key_steps import KeysError
from reconciler.attempt.look import Look
from reconciler.errors import ActivationError, ReconcilerError, StateError
from reconciler.history import ROLLBACK
from reconciler.model import Guard, Hold, HostName, Outcome, Plan, StepKind
from reconciler.plan import runs
from reconciler.world import Common

_ORDERED = "ordered"
_DELIVERIES = frozenset({StepKind.DELIVER_KEYS, StepKind.DELIVER_LATE_KEYS})


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    """What a person ordered; kept with the attempt, for whoever follows it."""

    generation: int
    hold: Hold
    before: Hold | None  # in whose place it comes
    keep_keys: bool = False

    @classmethod
    def kept_in(cls, guard: Guard) -> Self | None:
        """Return what was ordered; None of what a commit brings. Raises StateError."""
        try:
            fields = json.loads(guard.baseline or "{}").get(_ORDERED)
            if fields is None:
                return None
            hold, before = _hold(fields.pop("hold")), _hold(fields.pop("before"))
            if hold is not None:
                return cls(hold=hold, before=before, **fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            message = f"what a person ordered cannot be read: {error!r}"
            raise StateError(message) from error
        message = "what a person ordered cannot be read: it has no hold"
        raise StateError(message)

    def to_json(self) -> str:
        """Return all of it, in the place of what a health gate would know."""
        return json.dumps({_ORDERED: asdict(self)})


def _hold(fields: dict[str, Any] | None) -> Hold | None:
    return Hold(**{**fields, "host": HostName(fields["host"])}) if fields else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ByOrder:
    """The judge of a generation that a person wants back; see Judge."""

    order: WayBack
    keys: str = ""  # what becomes of them, for people

    def chosen(self, plan: Plan) -> Plan:
        """Choose what delivers keys: none goes, and no unit is mended."""
        steps = tuple(step for step in plan.steps if step.kind in _DELIVERIES)
        return replace(plan, steps=steps)

    def judge(self, gate: HealthGate, seen: Look, give_up: float) -> Look:
        """Raise ActivationError if another system runs."""
        del give_up
        if not runs(gate.desired, seen.observed):
            host, running = gate.desired.host, seen.observed.running
            message = f"{host}: it does not run that generation, but {running}"
            raise ActivationError(message, host=host)
        return seen

    def ends(
        self,
        world: Common,
        outcome: Outcome,
        error: ReconcilerError | None,
        seen: Look,
    ) -> str:
        """Have the host be held as it was before, unless it was taken back."""
        told = str(error) if error else ""
        if outcome is Outcome.SUCCEEDED:
            told = self._told(seen)
        else:
            self._let_go(world)
        host, actor = self.order.hold.host, self.order.hold.actor
        if isinstance(error, KeysError) or _is_of_keys(error):
            advice = f"reconciler rollback {host} --keep-keys"
            told += f"; to leave keys as they are: {advice}"
        world.history.event(
            now=world.now(), kind=ROLLBACK, host=host, actor=actor, text=told
        )
        return told

    def _told(self, seen: Look) -> str:
        by = f" by {self.order.hold.actor}" if self.order.hold.actor else ""
        told = [f"taken back to generation {self.order.generation}{by}"]
        units = seen.observed.units.values()
        failed = sorted(one.name for one in units if one.active_state == "failed")
        if failed:
            told.append(f"these units have failed there: {', '.join(failed)}")
        return "; ".join([*told, *filter(None, [self.keys])])

    def _let_go(self, world: Common) -> None:
        """End our hold; what somebody has ordered meanwhile stays."""
        ours, before, now = self.order.hold, self.order.before, world.now()
        held = world.history.hold_of(ours.host, now)
        if held is None and ours.holds(now):
            return  # somebody has released it
        if held is not None and (held.since, held.actor) != (ours.since, ours.actor):
            return
        if before is not None and before.holds(now):
            world.history.hold(before)
        else:
            world.history.release(ours.host, now=now)


def _is_of_keys(error: ReconcilerError | None) -> bool:
    return error is not None and isinstance(error.__cause__, KeysError)
