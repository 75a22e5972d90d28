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
    Heal,
    Observed,
    ObservedUnit,
    UnitName,
)
from reconciler.plan import places
from reconciler.plan.effects import MOVING, RUNNING, is_up
from reconciler.plan.loaded import as_loaded
from reconciler.plan.specialisation import is_specialised
from reconciler.plan.steps import Finding, steps_of_effect

_STATELESS = frozenset({"slice", "device", "scope"})
UNREADABLE = frozenset({"bad-setting", "error"})
RETRYING = frozenset({"auto-restart", "auto-restart-queued"})
"""Sub states in which systemd waits a while before it starts a unit once more."""

GOOD_RESULTS = frozenset({"", "success"})


def active_units(desired: Desired, observed: Observed) -> tuple[int, int]:
    """
    Return how many units should be active, and how many of those are.

    None of a specialisation, whose units are not known.
    """
    if is_specialised(desired, observed):
        return 0, 0
    current = observed.running == desired.toplevel
    pairs = [
        (want, observed.units.get(name, not_loaded(name)))
        for name, want in desired.units.items()
    ]
    due = [
        have.active_state
        for want, have in pairs
        if should_be_active(as_loaded(want, have, current=current))
        and not excused(have)
    ]
    return len(due), sum(state in RUNNING for state in due)


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

    The first that applies: it has no state, or is no more than a file; it failed; it
    runs or is on its way; it need not run; its condition was unmet when systemd last
    looked, or what conflicts with it runs; it did its work and ended; it is stopped.
    """
    if places.kind_of(want.name) in _STATELESS or _is_only_a_file(want, have):
        return None
    if failure := _judge_failure(want, have):
        return failure
    if have.active_state in RUNNING | MOVING:
        return None
    if not should_be_active(want) or _yields(have):
        return None
    return _ended(want) if have.finished else _stopped(want, have)


def _is_only_a_file(want: DesiredUnit, have: ObservedUnit) -> bool:
    """
    Return whether a unit cannot be loaded, and nobody asks for it.

    Such as one that holds settings for a service that no package brings: a real nixpkgs
    declares some.
    """
    asked_for = want.wanted or want.triggered or is_up(have)
    return have.load_state in UNREADABLE and not asked_for


def _judge_failure(want: DesiredUnit, have: ObservedUnit) -> Finding | None:
    """
    Tell of a unit that failed.

    Nothing is done to one that systemd cannot load (only a commit mends the file) and
    to one that systemd itself is starting again.
    """
    if have.load_state in UNREADABLE:
        return _failed(want, f"cannot be loaded ({have.load_state})", Effect.NONE)
    if have.active_state == "failed":
        return _failed(want, f"failed ({have.result or 'no result'})", _retry(want))
    if have.sub_state in RETRYING and have.result not in GOOD_RESULTS:
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
    if is_up(have) or want.heal is Heal.NOTHING or want.may_fail:
        return Effect.NONE
    if have.active_state == "failed":
        return _retry(want)
    start = should_be_active(want) and want.heal is Heal.ALL
    return _start(want) if start else Effect.NONE


def _start(want: DesiredUnit) -> Effect:
    """Return START, unless systemd might refuse it (RefuseManualStart=)."""
    return Effect.NONE if want.only_manual else Effect.START


def condition_unmet(have: ObservedUnit) -> bool:
    """
    Return whether systemd declined to start it.

    It says "no" of a unit that it never tried, so the time of the check counts.
    """
    return have.condition_at > 0 and not have.condition_met and not is_up(have)


def _yields(have: ObservedUnit) -> bool:
    """Return whether it cannot run: a condition, or what it conflicts with, forbids."""
    return condition_unmet(have) or (have.displaced and not is_up(have))


def excused(have: ObservedUnit) -> bool:
    """Return whether a unit may be down: it cannot run, or its work is done."""
    return _yields(have) or (have.finished and not is_up(have))


def between_rounds(have: ObservedUnit) -> bool:
    """Return whether it ended well and systemd is about to start it once more."""
    return have.sub_state in RETRYING and have.result in GOOD_RESULTS


def _state(have: ObservedUnit) -> str:
    return f"{have.active_state} ({have.sub_state or have.load_state})"


def not_loaded(name: UnitName) -> ObservedUnit:
    """Return how systemd answers for a unit that it knows nothing of."""
    return ObservedUnit(name=name, load_state="not-found", active_state="inactive")
