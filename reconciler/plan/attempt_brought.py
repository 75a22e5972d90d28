"""What an attempt brought, as plain data: a line for messages, a dictionary."""

from collections.abc import Sequence

from reconciler.model import (
    Brought,
    BroughtCommit,
    CommitRange,
    Restart,
    SystemDiff,
)
from reconciler.plan.brought import brought_as_dict, brought_lines
from reconciler.plan.shapes import BroughtCommitShape, BroughtShape, CommitRangeShape

SHOWN = 5
"""Commits, packages and units that a message names of each."""


def brought_told(found: Brought) -> str:
    """Return in one line what people want to read of a deployment."""
    parts = [
        _commits(found.range.commits, found.range.count, "brings"),
        _commits(found.range.undone, found.range.undone_count, "takes back"),
        _inputs(found.range),
        packages_told(found.packages) if found.packages else "",
        _restarts(found.restarts),
    ]
    return "; ".join(part for part in parts if part)


def packages_told(diff: SystemDiff) -> str:
    """Return in one line which packages have other versions, and the kernel."""
    lines = brought_lines(diff)
    told = [f"{line.name} {line.versions}" for line in lines]
    parts = [_listed(told, len(told)) if told else "no package has another version"]
    if diff.kernel is not None:
        parts.append("another kernel: a reboot will be needed")
    return "; ".join(parts)


def down(restart: Restart) -> str:
    """Say how long a unit was down."""
    if restart.seconds is None:
        return "not told how long"
    if restart.seconds < 1:
        return f"{restart.seconds * 1000:.0f} ms"
    return f"{restart.seconds:.1f} s"


def brought_record(found: Brought) -> BroughtShape:
    """Return *found* for JSON."""
    return {
        "pending": found.pending,
        "commits": _range(found.range),
        "restarts": [
            {"unit": restart.unit, "down_seconds": restart.seconds}
            for restart in found.restarts
        ],
        "packages": brought_as_dict(found.packages) if found.packages else None,
        "problem": found.problem,
    }


def _range(found: CommitRange) -> CommitRangeShape:
    return {
        "before": found.before,
        "count": found.count,
        "came": [_commit(one) for one in found.commits],
        "undone_count": found.undone_count,
        "undone": [_commit(one) for one in found.undone],
        "inputs": list(found.inputs),
        "problem": found.problem,
    }


def _commit(one: BroughtCommit) -> BroughtCommitShape:
    return {"id": one.id, "subject": one.subject, "author": one.author}


def _commits(found: Sequence[BroughtCommit], count: int, verb: str) -> str:
    if not found:
        return ""
    told = [f"“{one.subject}” ({one.author})" for one in found]
    return f"{verb} {_listed(told, count)}"


def _inputs(found: CommitRange) -> str:
    if not found.inputs:
        return ""
    same = "the same commit, " if is_same_commit(found) else ""
    return f"{same}other inputs: {_listed(found.inputs, len(found.inputs))}"


def is_same_commit(found: CommitRange) -> bool:
    """Say whether a host was at the commit already that it was brought to."""
    return not (found.problem or found.count or found.undone_count)


def _restarts(found: Sequence[Restart]) -> str:
    told = [f"{restart.unit} (down {down(restart)})" for restart in found]
    return f"restarted {_listed(told, len(told))}" if told else ""


def _listed(told: Sequence[str], count: int) -> str:
    shown = ", ".join(told[:SHOWN])
    more = count - min(len(told), SHOWN)
    return f"{shown} and {more} more" if more > 0 else shown
