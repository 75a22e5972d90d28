"""
What a job that runs just now has stopped on purpose.

A backup stops a database and starts it again when it is done. To start it meanwhile
would let it write into files that are being copied. systemd does not say who stopped a
unit; but a job that began before the unit was stopped, and has not ended, may have.
"""

from collections.abc import Iterable

from reconciler.model import Desired, Observed, ObservedUnit, UnitName

_DOWN = ("inactive", "deactivating")


def running_jobs(desired: Desired, observed: Observed) -> tuple[ObservedUnit, ...]:
    """Return the jobs of the commit (``Type=oneshot``) that have not ended."""
    return tuple(
        have
        for name, want in desired.units.items()
        if (have := observed.units.get(name)) is not None
        and have.active_state == "activating"
        and (have.type or want.type) == "oneshot"
    )


def stopped_by(have: ObservedUnit, jobs: Iterable[ObservedUnit]) -> UnitName | None:
    """Return the job that may have stopped a unit and is still at work, if any."""
    if have.active_state not in _DOWN or not have.left_at:
        return None
    for job in jobs:
        if job.name != have.name and 0 < job.began_at <= have.left_at:
            return job.name
    return None
