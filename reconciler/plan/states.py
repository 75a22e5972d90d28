"""
Whether a unit that is loaded as it should be does what it should.

Two questions: should it be active whenever one looks, and what is wrong if it is not?
"""

from reconciler.model import (
    Desired,
    DesiredUnit,
    Drift,
    DriftKind,
    Effect,
    Observed,
    ObservedUnit,
    UnitName,
)
from reconciler.plan import places
from reconciler.plan.effects import MOVING, RUNNING, is_up
from reconciler.plan.steps import Finding, steps_of_effect

_STATELESS = frozenset({"slice", "device", "scope"})
_UNREADABLE = frozenset({"bad-setting", "error"})
RETRYING = frozenset({"auto-restart", "auto-restart-queued"})
"""Sub states in which systemd waits a while before it starts a unit once more."""

_GOOD_RESULTS = frozenset({"", "success"})


def active_units(desired: Desired, observed: Observed) -> tuple[int, int]:
    """Return how many units should be active, and how many of those are."""
    names = [
        name
        for name, want in desired.units.items()
        if should_be_active(want)
        and not excused(observed.units.get(name, not_loaded(name)))
    ]
    have = (observed.units.get(name) for name in names)
    return len(names), sum(u is not None and u.active_state in RUNNING for u in have)


def should_be_active(want: DesiredUnit) -> bool:
    """
    Return whether the unit should be active whenever one looks.

    Not a job that ends (oneshot without RemainAfterExit), nor what a timer, socket,
    path or the bus starts, nor a target that only its dependents may reach.
    """
    if not want.wanted or want.path is None or want.triggered:
        return False
    if want.type == "oneshot" and not want.remain_after_exit:
        return False
    kind = places.kind_of(want.name)
    if kind in _STATELESS or places.is_template(want.name):
        return False
    return not (kind == "target" and want.only_manual)


def judge_state(want: DesiredUnit, have: ObservedUnit) -> Finding | None:
    """
    Judge what a rightly loaded unit does; None if that is as it should be.

    The first that applies: it has no state; it failed; it runs or is on its way; it
    need not run; its condition was unmet when systemd last looked; it did its work and
    ended; it is stopped.
    """
    if places.kind_of(want.name) in _STATELESS:
        return None
    if failure := _judge_failure(want, have):
        return failure
    if have.active_state in RUNNING | MOVING:
        return None
    if not should_be_active(want) or condition_unmet(have):
        return None
    return _ended(want) if have.finished else _stopped(want, have)


def _judge_failure(want: DesiredUnit, have: ObservedUnit) -> Finding | None:
    """
    Tell of a unit that failed.

    Nothing is done to one that systemd cannot load (only a commit mends the file) and
    to one that systemd itself is starting again.
    """
    if have.load_state in _UNREADABLE:
        return _failed(want, f"cannot be loaded ({have.load_state})", Effect.NONE)
    if have.active_state == "failed":
        return _failed(want, f"failed ({have.result or 'no result'})", _retry(want))
    if have.sub_state in RETRYING and have.result not in _GOOD_RESULTS:
        told = f"failed ({have.result}), systemd retries, {have.restarts} so far"
        return _failed(want, told, Effect.NONE)
    return None


def _ended(want: DesiredUnit) -> Finding:
    """Tell of a service that ended by itself; to run its work again could do harm."""
    drift = Drift(
        kind=DriftKind.UNIT_STOPPED,
        subject=want.name,
        desired="active, or done",
        observed="ended by itself, without error",
        lasting=True,
    )
    return Finding(drift=drift)


def _stopped(want: DesiredUnit, have: ObservedUnit) -> Finding:
    effect = _start(want)
    drift = Drift(
        kind=DriftKind.UNIT_STOPPED,
        subject=want.name,
        desired="active",
        observed=_state(have),
        effect=effect,
    )
    return Finding(drift=drift, steps=steps_of_effect(want.name, effect))


def _failed(want: DesiredUnit, observed: str, effect: Effect) -> Finding:
    drift = Drift(
        kind=DriftKind.UNIT_FAILED,
        subject=want.name,
        desired="active" if should_be_active(want) else "not failed",
        observed=observed,
        effect=effect,
    )
    return Finding(drift=drift, steps=steps_of_effect(want.name, effect))


def _retry(want: DesiredUnit) -> Effect:
    """
    Return how a failed unit is put right (apply resets the failure first).

    What the boot targets want is started again. Else nobody asked for it just now: a
    job and what has a trigger wait for who started them, and a service that stays up,
    which somebody must have started, comes back.
    """
    if want.only_manual:
        return Effect.NONE
    if not want.wanted and (want.triggered or want.type == "oneshot"):
        return Effect.NONE
    return Effect.RESTART


def wake(want: DesiredUnit, have: ObservedUnit) -> Effect:
    """Return what brings a unit that is not up to where it should be."""
    if is_up(have):
        return Effect.NONE
    if have.active_state == "failed":
        return _retry(want)
    return _start(want) if should_be_active(want) else Effect.NONE


def _start(want: DesiredUnit) -> Effect:
    """Return START, unless systemd might refuse it (RefuseManualStart=)."""
    return Effect.NONE if want.only_manual else Effect.START


def condition_unmet(have: ObservedUnit) -> bool:
    """
    Return whether systemd declined to start it.

    It says "no" of a unit that it never tried, so the time of the check counts.
    """
    return have.condition_at > 0 and not have.condition_met and not is_up(have)


def excused(have: ObservedUnit) -> bool:
    """Return whether a unit may be down: its condition is unmet, or its work done."""
    return condition_unmet(have) or (have.finished and not is_up(have))


def _state(have: ObservedUnit) -> str:
    return f"{have.active_state} ({have.sub_state or have.load_state})"


def not_loaded(name: UnitName) -> ObservedUnit:
    """Return how systemd answers for a unit that it knows nothing of."""
    return ObservedUnit(name=name, load_state="not-found", active_state="inactive")
