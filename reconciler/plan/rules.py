"""
What is left alone although it differs: by what the commit or a person says of a unit.

Then the difference is shown, and neither closed nor alarmed about.
"""

from collections.abc import Iterable
from dataclasses import replace

from reconciler.model import (
    Desired,
    DesiredUnit,
    DriftKind,
    Effect,
    Heal,
    ObservedUnit,
    Policy,
    UnitRule,
)
from reconciler.plan.jobs import stopped_by
from reconciler.plan.steps import Finding


def with_policy(desired: Desired, policy: Policy) -> Desired:
    """Return *desired* with what the policy says of units; it wins over the commit."""
    if not policy.units:
        return desired
    rules, units = dict(desired.rules), dict(desired.units)
    for name, heal in policy.units.items():
        rules[name] = replace(rules.get(name, UnitRule()), heal=heal)
        if name in units:
            units[name] = replace(units[name], heal=heal)
    return replace(desired, rules=rules, units=units)


def left_alone(
    finding: Finding,
    want: DesiredUnit,
    have: ObservedUnit,
    jobs: Iterable[ObservedUnit],
) -> Finding:
    """Return *finding*, with nothing to be done where it is to be left alone."""
    why = _why(finding.drift.kind, want, have, jobs)
    if not why or finding.drift.lasting:
        return finding
    told = f"{finding.drift.observed}; {why}"
    drift = replace(finding.drift, observed=told, effect=Effect.NONE, lasting=True)
    return Finding(drift=drift)


def _why(
    kind: DriftKind,
    want: DesiredUnit,
    have: ObservedUnit,
    jobs: Iterable[ObservedUnit],
) -> str:
    if want.may_fail:
        return "it may be down (mayFail)"
    if want.heal is Heal.NOTHING:
        return "it is left as it is (heal)"
    if kind is not DriftKind.UNIT_STOPPED:
        return ""
    if want.heal is Heal.RESTART_ONLY:
        return "only a failed one is started again (heal)"
    job = stopped_by(have, jobs)
    return f"left until {job} ends, which may have stopped it" if job else ""
