"""A drift together with the steps that close it."""

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.model import Drift, DriftKind, Effect, Step, StepKind, UnitName

DEPLOY_STEPS = tuple(
    Step(kind=kind)
    for kind in (StepKind.BUILD, StepKind.COPY, StepKind.ACTIVATE, StepKind.SET_BOOT)
)
"""What brings another system to a host."""

REACTIVATE = Step(kind=StepKind.ACTIVATE)
"""What puts /etc back as the running system has it."""

_BY_EFFECT = {
    Effect.START: StepKind.START,
    Effect.RESTART: StepKind.RESTART,
    Effect.RELOAD: StepKind.RELOAD,
    Effect.STOP: StepKind.STOP,
}
_OF_KEYS = (StepKind.DELIVER_KEYS, StepKind.DELIVER_LATE_KEYS, StepKind.REMOVE_KEYS)
_KIND_ORDER = {kind: place for place, kind in enumerate(StepKind)}
_DRIFT_ORDER = {kind: place for place, kind in enumerate(DriftKind)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One drift and what closes it; without steps the plan can only tell of it."""

    drift: Drift
    steps: tuple[Step, ...] = ()


def steps_of_effect(name: UnitName, effect: Effect) -> tuple[Step, ...]:
    """Return the step that has *effect* on one unit; none for NONE and SKIP."""
    kind = _BY_EFFECT.get(effect)
    return () if kind is None else (Step(kind=kind, unit=name),)


def steps_of(findings: Iterable[Finding], *, again: bool) -> tuple[Step, ...]:
    """
    Return every step once, in the order in which they are to be carried out.

    Keys are delivered, and removed, in one step each. With *again* the system is
    activated in any case: an attempt that was cut short or failed half-way may have
    left the activation undone, which cannot be seen from outside, and activating twice
    does no harm.
    """
    steps = {step for finding in findings for step in finding.steps}
    if again and steps:
        steps.add(REACTIVATE)
    single = {step for step in steps if step.kind not in _OF_KEYS}
    joint = (_joined(kind, steps) for kind in _OF_KEYS)
    return tuple(sorted({*single, *filter(None, joint)}, key=_step_key))


def _joined(kind: StepKind, steps: Iterable[Step]) -> Step | None:
    """Return the one step for all keys that *steps* of a kind are about."""
    chosen = [step for step in steps if step.kind is kind]
    if not chosen:
        return None
    return Step(
        kind=kind,
        files=tuple(sorted({file for step in chosen for file in step.files})),
        keys=tuple(sorted({key for step in chosen for key in step.keys})),
    )


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort by kind of drift, then by subject."""
    return tuple(sorted(findings, key=_finding_key))


def _step_key(step: Step) -> tuple[int, str, tuple[str, ...]]:
    return _KIND_ORDER[step.kind], step.unit or "", step.files


def _finding_key(finding: Finding) -> tuple[int, str]:
    return _DRIFT_ORDER[finding.drift.kind], finding.drift.subject
