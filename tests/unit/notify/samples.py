"""Statuses and attempts as passes leave them, for tests of what is told."""

from dataclasses import replace

from reconciler.model import (
    Attempt,
    CommitId,
    Drift,
    DriftKind,
    Hold,
    HostName,
    HostStatus,
    Outcome,
    Quarantine,
    Reason,
    StepRecord,
    StorePath,
    Verdict,
)

HOST = HostName("lufta")
OLD, NEW = StorePath("/nix/store/old-system"), StorePath("/nix/store/new-system")
COMMIT = CommitId("a" * 40)
NOW = 1_700_000_000.0
BOT, FACTS = "withinbot.service", "printerfacts.service"


def stopped(*units: str) -> tuple[Drift, ...]:
    return tuple(Drift(kind=DriftKind.UNIT_STOPPED, subject=unit) for unit in units)


def status(
    verdict: Verdict | None = Verdict.CONVERGED,
    *,
    error: str = "",
    drifts: tuple[Drift, ...] = (),
    target: StorePath = NEW,
    running: StorePath = NEW,
    host: HostName = HOST,
) -> HostStatus:
    """Return the status of a host that answered, if a plan could be made."""
    return HostStatus(
        host=host,
        commit=COMMIT,
        updated_at=NOW,
        verdict=verdict,
        reachable=verdict is not None,
        target=target,
        running=running,
        drifts=drifts,
        error=error,
        tags=("home",),
    )


def away(error: str = "timed out", host: HostName = HOST) -> HostStatus:
    """Return the status of a host that did not answer."""
    return HostStatus(
        host=host,
        commit=COMMIT,
        updated_at=NOW,
        verdict=Verdict.BLOCKED,
        reachable=False,
        target=NEW,
        drifts=(Drift(kind=DriftKind.UNREACHABLE),),
        error=error,
    )


def to_deploy(error: str = "", target: StorePath = NEW) -> HostStatus:
    """Return the status of a host that runs another system than it should."""
    drift = Drift(kind=DriftKind.SYSTEM)
    return status(
        Verdict.DEPLOY, error=error, drifts=(drift,), target=target, running=OLD
    )


def held(of: HostStatus) -> HostStatus:
    """Return *of* with a hold on its host."""
    hold = Hold(host=of.host, reason="mine", actor="me@desk", since=NOW)
    return replace(of, hold=hold)


def quarantined(of: HostStatus) -> HostStatus:
    """Return *of* with its target in quarantine."""
    failed = Quarantine(
        host=of.host,
        toplevel=of.target or NEW,
        reason="bot was not healthy",
        since=NOW,
        attempt=attempt(1).id,
    )
    return replace(of, quarantine=failed)


def attempt(
    number: int,
    *,
    verdict: Verdict = Verdict.DEPLOY,
    outcome: Outcome | None = Outcome.SUCCEEDED,
    target: StorePath = NEW,
    message: str = "",
    reason: Reason | None = None,
) -> Attempt:
    """Return an attempt, one of a hundred in a row."""
    step = StepRecord(name=f"start {BOT}", began_at=NOW, seconds=1.0)
    return Attempt(
        id=f"20261123T1045{number:02}-3f2a",
        host=HOST,
        commit=COMMIT,
        verdict=verdict,
        source=OLD,
        target=target,
        began_at=NOW,
        ended_at=None if outcome is None else NOW + 5,
        outcome=outcome,
        message=message,
        reason=reason,
        steps=(step,),
    )
