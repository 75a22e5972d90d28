"""What the program's log says of a host."""

import structlog

from reconciler.model import HostStatus

log = structlog.get_logger(__name__)


def log_change(before: HostStatus | None, after: HostStatus) -> None:
    """Say what is new about a host, once; a pass that finds nothing new is silent."""
    if before is not None and (before.drifts, before.error) == (
        after.drifts,
        after.error,
    ):
        return
    drifts = [f"{d.kind.value} {d.subject}".strip() for d in after.drifts]
    verdict = after.verdict.value if after.verdict else None
    if after.is_silent:
        log.info("host is silent", host=after.host, why=after.error)
    elif after.error:
        told = {"drifts": drifts, "error": after.error}
        log.warning("host has a problem", host=after.host, verdict=verdict, **told)
    elif after.in_sync:
        log.info("host is in sync", host=after.host)
    else:
        log.info("host differs", host=after.host, verdict=verdict, drifts=drifts)
