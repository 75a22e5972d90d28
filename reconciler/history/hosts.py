"""Rows of hosts: what the last pass found on each, and the keys that it was given."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from reconciler.history import orders, reports
from reconciler.history.records import clean, storable
from reconciler.history.schema import delivered_keys, statuses
from reconciler.model import (
    CommitId,
    Drift,
    DriftKind,
    Effect,
    HostName,
    HostStatus,
    StorePath,
    UnitName,
    Verdict,
)


def save(connection: Connection, status: HostStatus) -> None:
    """Replace the status of a host, and drop what it reported if it does no more."""
    forget(connection, status.host)
    if not status.deploys_itself:
        reports.forget(connection, status.host)
    connection.execute(
        insert(statuses).values(
            host=status.host,
            commit_id=status.commit,
            updated_at=status.updated_at,
            verdict=status.verdict.value if status.verdict else None,
            reachable=status.reachable,
            target=status.target,
            running=status.running,
            drifts=json.dumps([_drift_to_json(drift) for drift in status.drifts]),
            drift_since=status.drift_since,
            units_desired=status.units_desired,
            units_active=status.units_active,
            address=clean(status.address),
            tags=json.dumps(status.tags),
            error=clean(status.error),
            keys_desired=status.keys_desired,
            keys_present=status.keys_present,
        )
    )


def load(connection: Connection, now: float | None) -> list[HostStatus]:
    """Return all statuses, by host, with the orders that hold at *now*, if given."""
    holds = orders.holds_by_host(connection)
    if now is not None:
        holds = {host: hold for host, hold in holds.items() if hold.holds(now)}
    failed = orders.quarantines_by_system(connection)
    reported = reports.times(connection)
    rows = connection.execute(select(statuses).order_by(statuses.c.host))
    return [
        replace(
            _status(row),
            hold=holds.get(row.host),
            quarantine=failed.get((row.host, row.target)),
            report_at=reported.get(row.host),
        )
        for row in rows
    ]


def forget(connection: Connection, host: HostName) -> None:
    """Delete the status of a host."""
    connection.execute(delete(statuses).where(statuses.c.host == host))


def delivered(connection: Connection, host: HostName) -> frozenset[str]:
    """Return the paths of the keys that a host was given."""
    query = select(delivered_keys.c.path).where(delivered_keys.c.host == host)
    return frozenset(connection.execute(query).scalars())


def note_delivered(
    connection: Connection, host: HostName, paths: Iterable[str]
) -> None:
    """Add paths; those that are known stay."""
    new = {storable(path) for path in paths} - delivered(connection, host)
    if new:
        rows = [{"host": host, "path": path} for path in sorted(new)]
        connection.execute(insert(delivered_keys), rows)


def note_removed(connection: Connection, host: HostName, paths: Iterable[str]) -> None:
    """Drop paths."""
    of_host = delete(delivered_keys).where(delivered_keys.c.host == host)
    for path in paths:
        connection.execute(of_host.where(delivered_keys.c.path == storable(path)))


def _status(row: Row[tuple[object, ...]]) -> HostStatus:
    return HostStatus(
        host=HostName(row.host),
        commit=CommitId(row.commit_id),
        updated_at=row.updated_at,
        verdict=None if row.verdict is None else Verdict(row.verdict),
        reachable=row.reachable,
        target=None if row.target is None else StorePath(row.target),
        running=None if row.running is None else StorePath(row.running),
        drifts=tuple(_drift_from_json(drift) for drift in json.loads(row.drifts)),
        drift_since=row.drift_since,
        units_desired=row.units_desired,
        units_active=row.units_active,
        keys_desired=row.keys_desired,
        keys_present=row.keys_present,
        address=row.address,
        tags=tuple(json.loads(row.tags)),
        error=row.error,
    )


def _drift_to_json(drift: Drift) -> dict[str, object]:
    return {
        "kind": drift.kind.value,
        "subject": drift.subject,
        "desired": drift.desired,
        "observed": drift.observed,
        "effect": drift.effect.value,
        "lasting": drift.lasting,
        "restarts": list(drift.restarts),
    }


def _drift_from_json(drift: Mapping[str, Any]) -> Drift:
    return Drift(
        kind=DriftKind(drift["kind"]),
        subject=str(drift["subject"]),
        desired=str(drift["desired"]),
        observed=str(drift["observed"]),
        effect=Effect(drift["effect"]),
        lasting=bool(drift["lasting"]),
        restarts=tuple(UnitName(unit) for unit in drift.get("restarts", ())),
    )
