"""
Whether a host may keep the system that it was switched to.

Judged from three looks: one before the switch (`Baseline`), an *early* one when the
switch was over, and one *now*, when the host has run for a while. How a unit should be
is what `states` says; here it must also have stayed so.
"""

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from reconciler.model import (
    CheckResult,
    Desired,
    DesiredKey,
    DesiredUnit,
    Digests,
    Drift,
    DriftKind,
    Observed,
    ObservedKey,
    ObservedUnit,
    StorePath,
    UnitName,
)
from reconciler.plan import places
from reconciler.plan.baseline import Baseline
from reconciler.plan.effects import MOVING, RUNNING
from reconciler.plan.jobs import running_jobs, stopped_by
from reconciler.plan.keys import MISSING, REGULAR, judge_key
from reconciler.plan.loaded import as_loaded, unit_of
from reconciler.plan.specialisation import is_specialised, variant
from reconciler.plan.states import (
    GOOD_RESULTS,
    RETRYING,
    between_rounds,
    excused,
    judge_state,
    not_loaded,
    should_be_active,
)


class ProblemKind(enum.Enum):
    """Every way in which a host can be unhealthy; a closed set, the worst first."""

    SYSTEM = "system"  # another system runs, or the host was booted meanwhile
    FAILED = "failed"
    RESTART_LOOP = "restart-loop"
    NOT_ACTIVE = "not-active"
    RESTARTED = "restarted"  # it began anew, and systemd did not have to
    KEY = "key"
    CHECK = "check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One reason why a host may not keep its new system."""

    what: ProblemKind
    unit: str = ""  # empty where it is about no unit
    text: str = ""  # for people; names the unit, key or check


OF_KEY = "-key.service"
UNREADABLE = "-"
"""A digest that no file has."""

_ORDER = {kind: place for place, kind in enumerate(ProblemKind)}


def judge(
    desired: Desired,
    *,
    before: Baseline,
    early: Observed,
    now: Observed,
    checks: Iterable[CheckResult] = (),
    lost_keys: Collection[str] = (),
) -> tuple[Problem, ...]:
    """
    Return why the host is not healthy, sorted; nothing if it is.

    Pure: the same values give the same verdict, whatever the order of mappings. For
    *early* take a look in which nothing is on its way any more (``still_moving``).
    *lost_keys* are names of keys whose content cannot be had, which is not for a
    deployment to mend.

    1. Another system runs, or the host was booted between the two looks: nothing else
       counts then.
    2. Units that are wanted, or were up before and are still declared, are up and in
       the same run as in the early look. Others must not have failed.
    3. What was broken before does not count if it has the same files, or is broken in
       the same way. Neither does what the commit says may be down, nor what a job has
       stopped that has not ended.
    4. Keys stand where they should, for whom they should. What they hold does not
       count: somebody may have saved another content a moment ago.
    5. Declared checks have passed.
    """
    if other := _other_system(desired, early, now):
        return (other,)
    desired = _as_it_runs(desired, now)
    found = [
        *_units(desired, before, early, now),
        *_keys(desired, now.keys, lost_keys),
        *_checks(checks),
    ]
    return tuple(sorted(found, key=lambda p: (_ORDER[p.what], p.unit, p.text)))


def still_moving(
    desired: Desired, observed: Observed, *, before: Baseline
) -> tuple[UnitName, ...]:
    """
    Return the units that should be up and are on their way, sorted.

    Also those that failed and that systemd is about to start again: a service that came
    before its database is fine a moment later. And one that is down for a moment, as
    between the two halves of a restart, or while a job is at work. Not those that were
    broken before, not those that end well and begin anew by themselves, and not the
    units of keys that are not there, for which only a key will do.
    """
    desired = _as_it_runs(desired, observed)
    jobs = running_jobs(desired, observed)
    return tuple(
        have.name
        for have in _to_be_up(desired, observed, before)
        if not between_rounds(have)
        and (have.active_state in MOVING or have.queued or stopped_by(have, jobs))
    )


def in_restart(
    desired: Desired, observed: Observed, *, before: Baseline
) -> tuple[UnitName, ...]:
    """Return those that somebody starts over just now, and not systemd: sorted."""
    desired = _as_it_runs(desired, observed)
    return tuple(
        have.name
        for have in _to_be_up(desired, observed, before)
        if have.queued and have.sub_state not in RETRYING
    )


def _to_be_up(
    desired: Desired, observed: Observed, before: Baseline
) -> Iterator[ObservedUnit]:
    return (
        have
        for name, want in sorted(desired.units.items())
        if (have := observed.units.get(name)) is not None
        and not want.may_fail
        and should_be_active(before.expects(as_loaded(want, have)))
        and not before.excuses(have)
        and not _waits_for_key(name, desired, observed)
    )


# --- the host --------------------------------------------------------------------


def _as_it_runs(desired: Desired, observed: Observed) -> Desired:
    """
    Return *desired* with the units of what runs.

    Those of a specialisation no evaluation tells; the host does. What was up before and
    has no file there any more is not declared there.
    """
    if not is_specialised(desired, observed):
        return desired
    bare = replace(desired, units={})
    units = {
        name: replace(
            unit_of(name, bare, have, current=True), path=StorePath(have.fragment)
        )
        for name, have in observed.units.items()
        if places.from_system(have) or places.from_package(have)
    }
    return replace(desired, units=units)


def _other_system(desired: Desired, early: Observed, now: Observed) -> Problem | None:
    text = ""
    running = variant(desired, now)
    if running is None or desired.specialisation not in ("", running):
        runs = now.running or f"no {desired.kind.told} system"
        text = f"{runs} runs, not {desired.toplevel}"
        if desired.specialisation:
            text += f" (specialisation {desired.specialisation})"
    elif now.boot_id != early.boot_id:
        text = "the host was booted while it was watched"
    return Problem(what=ProblemKind.SYSTEM, text=text) if text else None


# --- units -----------------------------------------------------------------------


def _units(
    desired: Desired, before: Baseline, early: Observed, now: Observed
) -> Iterator[Problem]:
    for want, have in _judged(desired, before, now):
        steady = early.units.get(have.name) or not_loaded(have.name)
        if _key_of(have.name, desired):
            steady = have  # it begins anew with each new content
        if problem := _unit(want, have, steady):
            yield problem


def _judged(
    desired: Desired, before: Baseline, now: Observed
) -> Iterator[tuple[DesiredUnit, ObservedUnit]]:
    """Return the units that a deployment answers for."""
    jobs = running_jobs(desired, now)
    for name in {*desired.units, *now.units}:
        have = now.units.get(name) or not_loaded(name)
        want = before.expects(unit_of(name, desired, have, current=True))
        if not _counts(want, have, declared=name in desired.units):
            continue
        if before.excuses(have) or stopped_by(have, jobs):
            continue
        if not _waits_for_key(name, desired, now):
            yield want, have


def _counts(want: DesiredUnit, have: ObservedUnit, *, declared: bool) -> bool:
    """
    Return whether a unit says anything about the new system.

    Not templates, what the commit masks, and what it says may be down. Of what it does
    not declare, not what is left of a file that is gone, and not what people and their
    tools put there.
    """
    if places.is_template(want.name) or want.may_fail:
        return False
    if declared:
        return want.path is not None
    return bool(have.fragment_path) and not have.fragment_path.startswith(places.HAND)


def _unit(want: DesiredUnit, have: ObservedUnit, early: ObservedUnit) -> Problem | None:
    """
    Judge one unit; the first that applies.

    It failed or is down (`states`); systemd restarts it, unless it works in rounds and
    each ends well; it is still on its way; it began anew since the early look.
    """
    finding = judge_state(want, have)
    if finding is not None and not finding.drift.lasting:
        return _problem(_what(finding.drift, have), have, finding.drift.observed)
    if _is_restarted(have, early):
        told = f"systemd restarts it again and again, {have.restarts} times so far"
        loop = _problem(ProblemKind.RESTART_LOOP, have, told)
        return None if _ends_well(have, early) else loop
    if not should_be_active(want) or excused(have):
        return None
    if have.active_state not in RUNNING:
        told = f"is not up: {have.active_state} ({have.sub_state})"
        return _problem(ProblemKind.NOT_ACTIVE, have, told)
    if early.active_state in RUNNING and early.invocation != have.invocation:
        told = "began anew while it was watched"
        return _problem(ProblemKind.RESTARTED, have, told)
    return None


def _is_restarted(have: ObservedUnit, early: ObservedUnit) -> bool:
    return have.sub_state in RETRYING or have.restarts > early.restarts


def _ends_well(have: ObservedUnit, early: ObservedUnit) -> bool:
    """
    Return whether each end since the early look is known to have been a good one.

    systemd counts a restart when the pause before it is over. Where the early look met
    that pause, it saw the end too, and the journal tells of none since.
    """
    if have.restarts < early.restarts:
        early = not_loaded(have.name)  # somebody started it: it counts from zero again
    pauses = have.sub_state in RETRYING
    ends = have.restarts - early.restarts + pauses - (early.sub_state in RETRYING)
    last = have if pauses else early
    seen = ends <= pauses and between_rounds(last)
    return have.ends_well or seen or have.restart == "on-success"


def to_ask_about(early: Observed, now: Observed) -> tuple[UnitName, ...]:
    """
    Return the units that systemd starts over and of which a look does not tell why.

    A service with Restart=always may work in rounds, each of which ends well, or die of
    a fault each time: once it runs again, both look alike. What ended ill too often, or
    too fast, has failed, which is seen.
    """
    return tuple(
        name
        for name, have in sorted(now.units.items())
        if have.restart == "always"
        and have.result in GOOD_RESULTS
        and _is_restarted(have, then := early.units.get(name) or not_loaded(name))
        and not _ends_well(have, then)
    )


def still_broken(desired: Desired, before: Baseline, now: Observed) -> tuple[str, ...]:
    """Say of each unit that was broken before how it is now; sorted."""
    told = []
    for name, have in sorted(now.units.items()):
        finding = judge_state(unit_of(name, desired, have, current=True), have)
        if finding and not finding.drift.lasting and before.excuses(have):
            told.append(f"{name} {finding.drift.observed}, as it was before")
    return tuple(told)


def _what(drift: Drift, have: ObservedUnit) -> ProblemKind:
    if have.sub_state in RETRYING:
        return ProblemKind.RESTART_LOOP
    failed = drift.kind is DriftKind.UNIT_FAILED
    return ProblemKind.FAILED if failed else ProblemKind.NOT_ACTIVE


def _problem(what: ProblemKind, have: ObservedUnit, told: str) -> Problem:
    return Problem(what=what, unit=have.name, text=f"{have.name} {told}")


# --- keys and checks -------------------------------------------------------------


def _keys(
    desired: Desired, found: Mapping[str, ObservedKey], lost: Collection[str]
) -> Iterator[Problem]:
    for name, want in desired.keys.items():
        have = _key(want, found)
        # As if its content were right: then what is left is about the file.
        right = Digests(known={name: have.digest or UNREADABLE})
        finding = None if name in lost else judge_key(want, have, right)
        if finding is not None:
            text = f"key {name}: {finding.drift.observed}"
            yield Problem(what=ProblemKind.KEY, text=text)


def _key(want: DesiredKey, found: Mapping[str, ObservedKey]) -> ObservedKey:
    return found.get(want.path, ObservedKey(path=want.path, kind=MISSING))


def _key_of(name: UnitName, desired: Desired) -> DesiredKey | None:
    """Return the key that a unit is the unit of: ``<name>-key.service``."""
    of_key = name.endswith(OF_KEY)
    return desired.keys.get(name.removesuffix(OF_KEY)) if of_key else None


def _waits_for_key(name: UnitName, desired: Desired, observed: Observed) -> bool:
    """Return whether a unit is that of a key whose file is not there."""
    want = _key_of(name, desired)
    return want is not None and _key(want, observed.keys).kind != REGULAR


def _checks(results: Iterable[CheckResult]) -> Iterator[Problem]:
    for result in results:
        if not result.passed:
            text = f"health check {result.name}: {result.problem}"
            yield Problem(what=ProblemKind.CHECK, text=text)
