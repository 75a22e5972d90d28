"""Sum up a pass for people and metrics. Pure."""

from dataclasses import replace
from datetime import UTC, datetime

from reconciler.model import (
    CommitId,
    Desired,
    Drift,
    HostName,
    HostStatus,
    Observed,
    Plan,
    Received,
    Verdict,
)
from reconciler.plan import active_units, present_keys

MISSED = 2
"""Reports that may be missing before a host counts as silent."""

GRACE = 60.0
"""Seconds more, for a host that is just being restarted."""

LONGEST = 86400.0
"""Seconds between two reports that a host may promise at most."""


def seen(
    *,
    commit: CommitId,
    desired: Desired,
    observed: Observed,
    plan: Plan,
    before: HostStatus | None,
    now: float,
) -> HostStatus:
    """Return the status of a host that answered."""
    wanted, active = active_units(desired, observed)
    return HostStatus(
        host=desired.host,
        commit=commit,
        updated_at=now,
        verdict=plan.verdict,
        reachable=True,
        target=desired.toplevel,
        running=observed.running,
        drifts=plan.drifts,
        drift_since=drift_since(plan.drifts, before, now),
        units_desired=wanted,
        units_active=active,
        keys_desired=len(desired.keys),
        keys_present=present_keys(desired, observed),
        address=desired.target.address,
        tags=desired.tags,
        error=plan.reason,
    )


def unseen(
    *,
    host: HostName,
    commit: CommitId,
    desired: Desired | None,
    plan: Plan | None,
    before: HostStatus | None,
    now: float,
) -> HostStatus:
    """Return the status of a host of which nothing could be learnt."""
    drifts = plan.drifts if plan else ()
    return HostStatus(
        host=host,
        commit=commit,
        updated_at=now,
        verdict=plan.verdict if plan else None,
        reachable=False,
        target=desired.toplevel if desired else None,
        running=before.running if before else None,
        drifts=drifts,
        drift_since=drift_since(drifts, before, now),
        units_desired=before.units_desired if before else 0,
        units_active=0,
        keys_desired=len(desired.keys) if desired else 0,
        address=desired.target.address if desired else before.address if before else "",
        tags=desired.tags if desired else before.tags if before else (),
    )


def told(
    *,
    host: HostName,
    commit: CommitId,
    received: Received | None,
    before: HostStatus | None,
    now: float,
) -> HostStatus:
    """
    Return the status of a host that deploys itself: what it has *received* told.

    What is older than it promised is no answer any more. *commit* is the newest one.
    """
    if received is None:
        return HostStatus(
            host=host,
            commit=before.commit if before and before.deploys_itself else commit,
            updated_at=now,
            verdict=Verdict.SILENT,
            tags=before.tags if before else (),
            error="it deploys itself, and has not reported yet",
        )
    report = received.report
    status = replace(
        report.status,
        host=host,
        updated_at=received.at,
        report_at=received.at,
        address="",  # which is of no use here
    )
    if now <= received.at + patience(report.every):
        return status
    return replace(
        status,
        verdict=Verdict.SILENT,
        reachable=False,
        drifts=(),
        drift_since=None,
        units_active=0,
        keys_present=0,
        error=f"it deploys itself, and has not reported since {_moment(received.at)}",
    )


def patience(every: float) -> float:
    """Return how many seconds a report counts if they come so often."""
    return MISSED * min(every, LONGEST) + GRACE


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%F %T UTC")


def drift_since(
    drifts: tuple[Drift, ...], before: HostStatus | None, now: float
) -> float | None:
    """Return when the present run of drift was first seen, None while there is none."""
    if not any(drift.is_open for drift in drifts):
        return None
    if before is not None and before.drift_since is not None:
        return before.drift_since
    return now
