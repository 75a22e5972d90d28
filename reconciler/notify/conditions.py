"""
Which bad states a status shows, and of which it says nothing. Pure.

A host that does not answer says nothing of its services: what was told of those stays
told until it answers again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.messages import Kind
from reconciler.model import DriftKind, HostStatus, Verdict
from reconciler.notify.told import Told
from reconciler.printable import on_one_line

TEXT_LIMIT = 500
"""Characters of a reason that a message quotes."""

_HASH = re.compile("[0-9a-z]{32,}")
_OF_SYSTEMS = frozenset({DriftKind.SYSTEM, DriftKind.BOOT})
_AS_IT_IS = frozenset({Verdict.CONVERGED, Verdict.HEAL, Verdict.REPORTED, Verdict.HELD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One bad state that a host is in."""

    what: tuple[str, ...] = ()  # more of it than was told is news
    text: str = ""  # for people


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a status shows."""

    judged: frozenset[Kind]  # the bad states of which it says whether they are
    bad: Mapping[Kind, Condition] = field(default_factory=dict)


def judge(status: HostStatus, problem: str, told: Told) -> Seen:
    """
    Return what *status* shows.

    *problem* is why the newest commit could not be evaluated for the host, if so; the
    status may then be that of the last commit that could.
    """
    bad: dict[Kind, Condition] = {}
    judged = {Kind.EVALUATION_FAILED} | _ordered(status, told, bad)
    if status.verdict is None or problem:
        why = problem or status.error
        bad[Kind.EVALUATION_FAILED] = Condition(what=(_lasting(why),), text=cut(why))
    if status.verdict not in (None, Verdict.NO_ADDRESS, Verdict.SILENT):
        judged.add(Kind.UNREACHABLE)
        if not status.reachable:
            bad[Kind.UNREACHABLE] = Condition(text=cut(status.error))
        else:
            judged |= _look_at(status, problem, told, bad)
    return Seen(judged=frozenset(judged), bad=bad)


def has_arrived(status: HostStatus) -> bool:
    """Return whether the host has the system that it should, now and after a boot."""
    return (
        status.verdict in _AS_IT_IS
        and status.target is not None
        and (status.running == status.target or _is_specialised(status))
        and not any(
            drift.kind in _OF_SYSTEMS for drift in status.drifts if drift.is_open
        )
    )


def _is_specialised(status: HostStatus) -> bool:
    """Return whether it runs a specialisation of the system, and boots the system."""
    return any(
        drift.kind is DriftKind.SYSTEM and drift.lasting for drift in status.drifts
    )


def cut(text: str) -> str:
    """Return *text* in one line that fits into a message."""
    line = on_one_line(text)
    return line if len(line) <= TEXT_LIMIT else f"{line[: TEXT_LIMIT - 1]}…"


def _ordered(status: HostStatus, told: Told, bad: dict[Kind, Condition]) -> set[Kind]:
    """Add what is known of a host without asking it; return what was judged."""
    if (hold := status.hold) is not None:
        by = f" ({hold.actor})" if hold.actor else ""
        bad[Kind.HELD] = Condition(text=cut(f"{hold.reason}{by}"))
    if status.target is None:
        return {Kind.HELD}
    if (failed := status.quarantine) is not None:
        # What was rolled back need not be told a second time.
        if told.bad.get(Kind.ROLLED_BACK) == (failed.toplevel,):
            return {Kind.HELD}
        what = (failed.toplevel,)
        bad[Kind.QUARANTINED] = Condition(what=what, text=cut(failed.reason))
    return {Kind.HELD, Kind.QUARANTINED}


def _look_at(
    status: HostStatus, problem: str, told: Told, bad: dict[Kind, Condition]
) -> set[Kind]:
    """Add the bad states of a host that answered; return those that were judged."""
    judged = {Kind.BLOCKED}
    if status.verdict in (Verdict.BLOCKED, Verdict.UNADOPTED):
        bad[Kind.BLOCKED] = Condition(text=cut(status.error))
    failed = bool(status.error) and status.error != problem
    if status.verdict is Verdict.DEPLOY and failed:
        judged |= _deploying(status, told, bad)
    if has_arrived(status):
        judged |= {Kind.FAILED, Kind.ROLLED_BACK}
    if _is_drifting(status, told, failed=failed):
        bad[Kind.DRIFT] = _drift(status, failed=failed)
    if Kind.DRIFT in bad or status.verdict is Verdict.CONVERGED:
        judged.add(Kind.DRIFT)
    return judged


def _deploying(status: HostStatus, told: Told, bad: dict[Kind, Condition]) -> set[Kind]:
    target = status.target or ""
    # Why it was rolled back was told with that.
    if told.bad.get(Kind.ROLLED_BACK) == (target,):
        return set()
    bad[Kind.FAILED] = Condition(what=(target,), text=cut(status.error))
    return {Kind.FAILED}


def _is_drifting(status: HostStatus, told: Told, *, failed: bool) -> bool:
    """Return whether what differs was caused by no commit, and will not be healed."""
    if status.verdict is Verdict.HEAL:
        return failed
    of_no_commit = has_arrived(status) or told.reached == status.target
    return status.verdict is Verdict.REPORTED and of_no_commit


def _drift(status: HostStatus, *, failed: bool) -> Condition:
    found = [drift for drift in status.drifts if drift.is_open]
    names = [f"{drift.kind.value} {drift.subject}".strip() for drift in found]
    text = ", ".join(names)
    if status.verdict is Verdict.HEAL and failed:
        text = f"{text}; cannot be healed: {status.error}"
    return Condition(what=tuple(sorted(names)), text=cut(text))


def _lasting(why: str) -> str:
    """Leave out what differs from one commit to the next though the reason does not."""
    return _HASH.sub("…", cut(why))[:200]
