"""
What differs in one key: from where it lies to what it holds and who may read it.

A changed secret on the reconciler and a file that somebody overwrote on the host look
the same from here: the two hashes differ, and none is remembered. So all drift of keys
is healing, never a deployment: with ``heal: false`` it is only shown, also after a
reboot and after a new secret was saved.
"""

from collections.abc import Iterable
from dataclasses import replace

from reconciler.model import (
    Desired,
    DesiredKey,
    DesiredUnit,
    Digests,
    Drift,
    DriftKind,
    Effect,
    Known,
    Observed,
    ObservedKey,
    ObservedUnit,
    Step,
    StepKind,
    UnitName,
)
from reconciler.plan.effects import is_up
from reconciler.plan.steps import Finding

MISSING = "missing"
REGULAR = "regular"
MEMORY = ("/run/", "/var/run/")
"""Below these a key must be in memory, so that no disk ever holds it."""

UNKNOWN = "its content is not known"


def judge_keys(
    desired: Desired, observed: Observed, known: Known, digests: Digests
) -> list[Finding]:
    """Return what differs in the keys of a host, also those no longer declared."""
    declared = [
        judge_key(
            want,
            observed.keys.get(want.path, ObservedKey(path=want.path, kind=MISSING)),
            digests,
            restarts=units_to_restart(want, desired, observed),
        )
        for want in desired.keys.values()
    ]
    paths = {want.path for want in desired.keys.values()}
    extra = [
        _judge_extra(observed.keys[path])
        for path in known.delivered - paths
        if path in observed.keys
    ]
    return [finding for finding in (*declared, *extra) if finding is not None]


def present_keys(desired: Desired, observed: Observed) -> int:
    """Return for how many declared keys a file stands, right or not."""
    found = (observed.keys.get(want.path) for want in desired.keys.values())
    return sum(have is not None and have.kind == REGULAR for have in found)


def restart_steps(
    desired: Desired,
    before: Observed,
    written: Iterable[str],
    *,
    after: Observed | None = None,
) -> tuple[Step, ...]:
    """
    Return the restarts that are due once the keys *written* have a new content.

    *before* is a look from before they were written: what was not up then has the new
    key from its start. So has what began anew until *after*, by a switch or by itself.
    """
    units = {
        unit
        for name in written
        if name in desired.keys
        for unit in units_to_restart(desired.keys[name], desired, before)
        if after is None or _invocation(unit, before) == _invocation(unit, after)
    }
    return tuple(Step(kind=StepKind.RESTART, unit=unit) for unit in sorted(units))


def _invocation(unit: UnitName, observed: Observed) -> str:
    have = observed.units.get(unit)
    return have.invocation if have else ""


def units_to_restart(
    want: DesiredKey, desired: Desired, observed: Observed
) -> tuple[UnitName, ...]:
    """
    Return those of ``restartUnits`` that must read a new content.

    A unit that is down, or waits for its key after a reboot, begins with it anyway.
    """
    return tuple(
        unit
        for unit in sorted(set(want.restart_units))
        if (have := observed.units.get(unit)) is not None
        and _may_be_restarted(have, desired.units.get(unit))
    )


def _may_be_restarted(have: ObservedUnit, want: DesiredUnit | None) -> bool:
    """Return whether a unit is up, and systemd would not refuse to restart it."""
    forbidden = want is not None and (want.only_manual or want.path is None)
    return is_up(have) and have.load_state == "loaded" and not forbidden


# --- a key that the commit declares ----------------------------------------------


def judge_key(
    want: DesiredKey,
    have: ObservedKey,
    digests: Digests,
    *,
    restarts: tuple[UnitName, ...] = (),
) -> Finding | None:
    """
    Return what differs in one declared key, or None.

    The first that applies: it lies where nothing may be written; its content is not
    known; it is not there; something else than a file is; the file holds something
    else; it is not its owner's.
    """
    if refusal := _refusal(want, have):
        return _told(want, have, refusal)
    digest = digests.known.get(want.name, "")
    if not digest:
        return _without_content(want, have, digests.problems.get(want.name, UNKNOWN))
    if have.kind == REGULAR and have.digest == digest:
        return _permissions(want, have)
    return _to_deliver(want, have, restarts)


def _refusal(want: DesiredKey, have: ObservedKey) -> str:
    """Return why nothing may be written there, or an empty text."""
    if have.folder:
        return f"its folder leads elsewhere, to {have.folder}"
    if want.path.startswith(MEMORY) and not have.in_memory:
        return "its folder is below /run and not in memory"
    # It may hold anything, which is not ours to remove.
    return "not ours to remove" if have.kind == "directory" else ""


def _without_content(want: DesiredKey, have: ObservedKey, problem: str) -> Finding:
    """
    Tell of a key that cannot be compared.

    Open also while a file stands, which may be right: the next reboot takes it away,
    and then nothing can bring it back. Its permissions are closed all the same.
    """
    if have.kind != REGULAR:
        return _told(want, have, problem)
    told = _told(want, have, f"cannot be compared: {problem}")
    if (found := _permissions(want, have)) is None:
        return told
    seen = f"{told.drift.observed}; {found.drift.observed}"
    drift = replace(told.drift, observed=seen, effect=Effect.PERMIT)
    return Finding(drift=drift, steps=found.steps)


def _permissions(want: DesiredKey, have: ObservedKey) -> Finding | None:
    """Compare owner, group and mode; numbers count as the names that they mean."""
    right = (
        want.user in (have.user, str(have.uid))
        and want.group in (have.group, str(have.gid))
        and want.mode == have.mode
    )
    if right:
        return None
    drift = Drift(
        kind=DriftKind.KEY_PERMISSIONS,
        subject=want.name,
        desired=_rights(want.user, want.group, want.mode),
        observed=_rights(have.user, have.group, have.mode),
        effect=Effect.PERMIT,
    )
    return Finding(drift=drift, steps=(_delivery(want),))


def _to_deliver(
    want: DesiredKey, have: ObservedKey, restarts: tuple[UnitName, ...]
) -> Finding:
    drift = Drift(
        kind=_kind(have),
        subject=want.name,
        desired=_rights(want.user, want.group, want.mode),
        observed=_seen(have),
        effect=Effect.DELIVER,
        restarts=restarts,
    )
    steps = (Step(kind=StepKind.RESTART, unit=unit) for unit in restarts)
    return Finding(drift=drift, steps=(_delivery(want), *steps))


def _told(want: DesiredKey, have: ObservedKey, why: str) -> Finding:
    """Tell of a key that no step can put right."""
    seen = "" if have.kind == REGULAR else f"{_seen(have)}: "
    drift = Drift(
        kind=_kind(have),
        subject=want.name,
        desired=_rights(want.user, want.group, want.mode),
        observed=seen + why,
    )
    return Finding(drift=drift)


def _kind(have: ObservedKey) -> DriftKind:
    missing = have.kind == MISSING
    return DriftKind.KEY_MISSING if missing else DriftKind.KEY_CHANGED


def _seen(have: ObservedKey) -> str:
    match have.kind:
        case "missing":
            return "missing"
        case "regular":
            return "holds something else" if have.digest else "cannot be read"
        case kind:
            return f"{kind} in its place"


def _delivery(want: DesiredKey) -> Step:
    late = not want.before_activation
    kind = StepKind.DELIVER_LATE_KEYS if late else StepKind.DELIVER_KEYS
    return Step(kind=kind, keys=(want.name,))


def _rights(user: str, group: str, mode: int) -> str:
    return f"{user}:{group} {mode:04o}"


# --- a key that was declared once ------------------------------------------------


def _judge_extra(have: ObservedKey) -> Finding | None:
    """
    Tell of a file that we delivered and that no commit declares any more.

    What is no file of our making any more stays, and so does what lies behind a link.
    """
    if have.kind == MISSING:
        return None
    ours = have.kind == REGULAR and not have.folder
    told = "no longer declared" if ours else f"was ours; a {have.kind} is in its place"
    drift = Drift(
        kind=DriftKind.KEY_EXTRA,
        subject=have.path,
        observed=told,
        effect=Effect.REMOVE if ours else Effect.NONE,
        lasting=not ours,
    )
    steps = (Step(kind=StepKind.REMOVE_KEYS, files=(have.path,)),) if ours else ()
    return Finding(drift=drift, steps=steps)
