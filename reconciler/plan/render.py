"""
Plans and statuses as plain data: lines for people, dictionaries for machines.

No colours and no widths here; who prints decides. The words of the enumerations are
the same everywhere: in lines, JSON, metrics and pages.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.model import (
    OF_SECRETS,
    Attempt,
    Bell,
    Brought,
    CommitId,
    Desired,
    Drift,
    DriftKind,
    Effect,
    Hold,
    HostName,
    HostStatus,
    Plan,
    Quarantine,
    Step,
    StepKind,
    Verdict,
)
from reconciler.plan.attempt_brought import brought_record
from reconciler.plan.shapes import (
    AttemptShape,
    BellShape,
    DriftShape,
    HoldShape,
    HostShape,
    OneAttemptShape,
    PlanShape,
    QuarantineShape,
    ReportShape,
    StepShape,
)

HASH_SHOWN = 8
"""Characters of a store path's hash that people are shown."""

_STORE_PATH = re.compile(rf"/nix/store/([^/-]{{1,{HASH_SHOWN}}})[^/-]*")
_SIGNS = {
    DriftKind.SYSTEM: "~",
    DriftKind.BOOT: "~",
    DriftKind.UNIT_CHANGED: "~",
    DriftKind.UNIT_MISSING: "+",
    DriftKind.UNIT_EXTRA: "-",
    DriftKind.KEY_MISSING: "+",
    DriftKind.KEY_CHANGED: "~",
    DriftKind.KEY_PERMISSIONS: "~",
    DriftKind.KEY_EXTRA: "-",
    DriftKind.SECRET_MISSING: "!",
    DriftKind.SECRET_PERMISSIONS: "!",
    DriftKind.SECRET_STALE: "!",
    DriftKind.REBOOT_NEEDED: "i",
}
_HOST_SUBJECTS = {
    DriftKind.SYSTEM: "system",
    DriftKind.BOOT: "boot default",
    DriftKind.REBOOT_NEEDED: "reboot",
    DriftKind.UNREACHABLE: "host",
    DriftKind.WRONG_MACHINE: "machine",
}
_ACTIONS = {
    Effect.START: "start",
    Effect.RESTART: "restart",
    Effect.RELOAD: "reload",
    Effect.STOP: "stop",
    Effect.SKIP: "not restart",
    Effect.DELIVER: "deliver",
    Effect.PERMIT: "set owner and mode",
    Effect.REMOVE: "remove",
}
_WORDS = {  # {} is what was observed
    DriftKind.UNIT_CHANGED: "changed",
    DriftKind.UNIT_EXTRA: "left over: {}",
    DriftKind.UNIT_MISSING: "missing",
    DriftKind.UNIT_OVERRIDDEN: "overridden: {}",
    DriftKind.UNIT_STOPPED: "stopped: {}",
    DriftKind.REBOOT_NEEDED: "booted with {}",
}
_WORDS_OF_SWITCH = {DriftKind.UNIT_EXTRA: "removed", DriftKind.UNIT_MISSING: "new"}
_FROM_TO = frozenset(
    {
        DriftKind.SYSTEM,
        DriftKind.BOOT,
        DriftKind.WRONG_MACHINE,
        DriftKind.KEY_PERMISSIONS,
        DriftKind.SECRET_PERMISSIONS,
    }
)
_OF_KEYS = frozenset(
    {DriftKind.KEY_MISSING, DriftKind.KEY_CHANGED, DriftKind.KEY_PERMISSIONS}
)
_ACTING = frozenset({Verdict.DEPLOY, Verdict.HEAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One drift as a person reads it, in four columns."""

    kind: DriftKind  # for who colours by it
    sign: str  # "+" new, "-" gone, "~" changed, "!" by hand or by itself, "i" told only
    subject: str  # unit, key, "system", "boot default", …
    what: str  # what differs
    effect: str  # what comes of it: "will restart"; empty if nothing does


def summary_lines(plan: Plan) -> tuple[Line, ...]:
    """
    Return one line for each drift, in the plan's order.

    "will" where the plan acts; "would" where policy, a hold or a guard forbids it.
    """
    switching = any(
        drift.kind is DriftKind.SYSTEM and drift.is_open for drift in plan.drifts
    )
    return tuple(
        Line(
            kind=drift.kind,
            sign=_SIGNS.get(drift.kind, "!"),
            subject=_subject(drift),
            what=_what(drift, switching=switching),
            effect=_effect(drift, plan),
        )
        for drift in plan.drifts
    )


def as_text(lines: Sequence[Line]) -> str:
    """Return *lines* as plain text, one a line, the subjects in a column."""
    width = max((len(line.subject) for line in lines), default=0)
    return "\n".join(
        f"{line.sign} {line.subject:<{width}}  {_sentence(line)}" for line in lines
    )


def _sentence(line: Line) -> str:
    return f"{line.what}, {line.effect}" if line.effect else line.what


def short(text: str) -> str:
    """Return *text* with each store path as people read it: no folder, a short hash."""
    return _STORE_PATH.sub(r"\1", text)


# --- words -----------------------------------------------------------------------


def _subject(drift: Drift) -> str:
    if drift.kind in _OF_KEYS:
        return f"key {drift.subject}"
    if drift.kind in OF_SECRETS:
        return f"secret {drift.subject}"
    return drift.subject or _HOST_SUBJECTS.get(drift.kind, "host")


def _what(drift: Drift, *, switching: bool) -> str:
    observed = short(drift.observed)
    if drift.kind is DriftKind.SYSTEM and drift.lasting:
        named = drift.desired.endswith(")")  # a store path has none
        why = "as the commit wants it" if named else "left as it is"
        return f"{observed}; {why}{'' if named else ' (policy.specialisation)'}"
    if drift.kind in _FROM_TO:
        return f"{observed} -> {short(drift.desired)}"
    words = _WORDS | _WORDS_OF_SWITCH if switching else _WORDS
    return words.get(drift.kind, "{}").format(observed)


def _effect(drift: Drift, plan: Plan) -> str:
    verb = "will" if plan.verdict in _ACTING else "would"
    action = _ACTIONS.get(drift.effect, "")
    match drift.kind:
        case DriftKind.SYSTEM if drift.is_open and plan.verdict is not Verdict.BLOCKED:
            return (
                f"{verb} {'boot into it' if _has(plan, StepKind.BOOT) else 'activate'}"
            )
        case DriftKind.REBOOT_NEEDED if _has(plan, StepKind.REBOOT):
            return f"{verb} reboot"
        case DriftKind.BOOT:
            return f"{verb} set"
        case DriftKind.UNIT_CHANGED if drift.effect is Effect.STOP:
            masked = drift.desired == "masked"
            return f"{verb} stop" + ("" if masked else " until its socket starts it")
        case DriftKind.UNIT_OVERRIDDEN if _reverted(drift, plan):
            return f"{verb} revert" + (f" and {action}" if action else "")
        case _:
            restarts = f" and restart {', '.join(drift.restarts)}"
            more = restarts if drift.restarts else ""
            return f"{verb} {action}{more}" if action else ""


def _has(plan: Plan, kind: StepKind) -> bool:
    return any(step.kind is kind for step in plan.steps)


def _reverted(drift: Drift, plan: Plan) -> bool:
    """Return whether the plan undoes the override; some files only a person may."""
    if plan.verdict not in _ACTING or drift.effect is not Effect.NONE:
        return True
    return any(step.unit == drift.subject for step in plan.steps)


# --- for machines ----------------------------------------------------------------


def as_dict(plan: Plan, desired: Desired, commit: CommitId) -> PlanShape:
    """Return *plan* for JSON."""
    return {
        "host": plan.host,
        "commit": commit,
        "address": desired.target.address,
        "tags": list(desired.tags),
        "target": plan.target,
        "derivation": desired.derivation,
        "verdict": plan.verdict.value,
        "in_sync": plan.verdict is Verdict.CONVERGED,
        "reason": plan.reason,
        "drifts": [_drift_as_dict(drift) for drift in plan.drifts],
        "only_path": plan.only_path,
        "warnings": list(plan.warnings),
        "steps": [_step_as_dict(step) for step in plan.steps],
        "configuration_warnings": list(desired.warnings),
        "error": "",
    }


def no_plan_as_dict(host: HostName, commit: CommitId, error: str) -> PlanShape:
    """Return for JSON that there is no plan for *host*, with every key of one."""
    return {
        "host": host,
        "commit": commit,
        "address": None,
        "tags": [],
        "target": None,
        "derivation": None,
        "verdict": None,
        "in_sync": False,
        "reason": "",
        "drifts": [],
        "only_path": False,
        "warnings": [],
        "steps": [],
        "configuration_warnings": [],
        "error": error,
    }


def status_as_dict(status: HostStatus) -> HostShape:
    """Return *status* for JSON."""
    return {
        "host": status.host,
        "address": status.address,
        "tags": list(status.tags),
        "commit": status.commit,
        "target": status.target,
        "running": status.running,
        "verdict": status.verdict.value if status.verdict else None,
        "in_sync": status.in_sync,
        "reachable": status.reachable,
        "updated_at": status.updated_at,
        "drift_since": status.drift_since,
        "units": {"desired": status.units_desired, "active": status.units_active},
        "keys": {"desired": status.keys_desired, "present": status.keys_present},
        "drifts": [_drift_as_dict(drift) for drift in status.drifts],
        "error": status.error,
        "hold": _hold_as_dict(status.hold),
        "quarantine": _quarantine_as_dict(status.quarantine),
        "bell": bell_as_dict(status.bell) if status.bell else None,
        "report": _report_as_dict(status),
    }


def bell_as_dict(bell: Bell) -> BellShape:
    """Return *bell* for JSON."""
    return {"state": bell.state.value, "why": bell.why}


def no_status_as_dict(host: HostName, commit: CommitId, error: str) -> HostShape:
    """Return for JSON that nothing is known of *host*, with every key of a status."""
    return {
        "host": host,
        "address": "",
        "tags": [],
        "commit": commit,
        "target": None,
        "running": None,
        "verdict": None,
        "in_sync": False,
        "reachable": False,
        "updated_at": None,
        "drift_since": None,
        "units": {"desired": 0, "active": 0},
        "keys": {"desired": 0, "present": 0},
        "drifts": [],
        "error": error,
        "hold": None,
        "quarantine": None,
        "bell": None,
        "report": None,
    }


def attempt_as_dict(attempt: Attempt) -> AttemptShape:
    """Return *attempt* for JSON."""
    return {
        "id": attempt.id,
        "host": attempt.host,
        "commit": attempt.commit,
        "why": attempt.verdict.value,
        "from": attempt.source,
        "to": attempt.target,
        "began_at": attempt.began_at,
        "ended_at": attempt.ended_at,
        "outcome": attempt.outcome.value if attempt.outcome else None,
        "reason": attempt.reason.value if attempt.reason else None,
        "message": attempt.message,
        "owner": attempt.owner,
        "steps": [
            {
                "name": step.name,
                "began_at": step.began_at,
                "seconds": step.seconds,
                "error": step.error,
            }
            for step in attempt.steps
        ],
    }


def one_attempt_as_dict(attempt: Attempt, brought: Brought | None) -> OneAttemptShape:
    """Return *attempt* for JSON, with what it brought."""
    told = attempt_as_dict(attempt)
    return {**told, "brought": brought_record(brought) if brought else None}


def _hold_as_dict(hold: Hold | None) -> HoldShape | None:
    if hold is None:
        return None
    return {
        "reason": hold.reason,
        "actor": hold.actor,
        "since": hold.since,
        "until": hold.until,
    }


def _quarantine_as_dict(quarantine: Quarantine | None) -> QuarantineShape | None:
    if quarantine is None:
        return None
    return {
        "toplevel": quarantine.toplevel,
        "reason": quarantine.reason,
        "since": quarantine.since,
        "attempt": quarantine.attempt,
        "failures": quarantine.failures,
    }


def _report_as_dict(status: HostStatus) -> ReportShape | None:
    if not status.deploys_itself:
        return None
    return {"at": status.report_at, "stale": status.is_silent}


def _drift_as_dict(drift: Drift) -> DriftShape:
    return {
        "kind": drift.kind.value,
        "subject": drift.subject,
        "desired": drift.desired,
        "observed": drift.observed,
        "effect": drift.effect.value,
        "restarts": list(drift.restarts),
        "lasting": drift.lasting,
        "open": drift.is_open,
    }


def _step_as_dict(step: Step) -> StepShape:
    return {
        "kind": step.kind.value,
        "unit": step.unit,
        "files": list(step.files),
        "keys": list(step.keys),
    }
