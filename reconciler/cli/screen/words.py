"""How values read for a person. Pure."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.text import Text

from reconciler.model import (
    Bell,
    BellState,
    Drift,
    DriftKind,
    Hold,
    HostStatus,
    Outcome,
    Quarantine,
    Verdict,
)
from reconciler.plan.render import short

HASH_SHOWN = 7  # characters of a store path's hash
MINUTE, HOUR, DAY = 60, 3600, 86400

STYLES = {
    Verdict.CONVERGED: "green",
    Verdict.DEPLOY: "cyan",
    Verdict.HEAL: "yellow",
    Verdict.REPORTED: "yellow",
    Verdict.HELD: "magenta",
    Verdict.QUARANTINED: "red",
    Verdict.BLOCKED: "red",
    Verdict.UNADOPTED: "magenta",
    Verdict.NO_ADDRESS: "dim",
    Verdict.SILENT: "dim",
}
VERDICT_WORDS = {
    Verdict.CONVERGED: "in sync",
    Verdict.DEPLOY: "to deploy",
    Verdict.HEAL: "to heal",
    Verdict.REPORTED: "reported",
    Verdict.HELD: "held",
    Verdict.QUARANTINED: "quarantined",
    Verdict.BLOCKED: "blocked",
    Verdict.UNADOPTED: "waits for adoption",
    Verdict.NO_ADDRESS: "no address",
    Verdict.SILENT: "silent",
}
"""What a plan means for a host, in the order in which a summary counts."""

OUTCOME_STYLES = {
    Outcome.SUCCEEDED: "green",
    Outcome.FAILED: "red",
    Outcome.ROLLED_BACK: "red",
    Outcome.INTERRUPTED: "yellow",
}


def state(status: HostStatus) -> Text:
    """Say in one word or two how a host stands."""
    if status.in_sync:
        return Text("in sync", "green")
    if status.is_away:
        return Text("error" if status.verdict is None else "unreachable", "red")
    if status.verdict is None or status.verdict is Verdict.CONVERGED:
        return Text("error", "red")
    return Text(VERDICT_WORDS[status.verdict], STYLES[status.verdict])


def note(status: HostStatus, now: float) -> Text | None:
    """Say what ails a host, and who holds it; None where nothing is to be said."""
    lines = []
    if status.deploys_itself:
        lines.append(Text(told_report(status, now), "dim"))
    if status.hold is not None:
        lines.append(Text(told_hold(status.hold, now), "magenta"))
    if told := told_beside(status):
        lines.append(Text(told, "dim"))
    # A verdict that says only that it is held, or silent, says nothing more.
    is_held = status.hold is not None and status.verdict is Verdict.HELD
    if status.error and not is_held and not status.is_silent:
        lines.append(Text(status.error, "red"))
    return Text("\n").join(lines) if lines else None


def told_beside(status: HostStatus) -> str:
    """Say what differs on a host and takes nothing from being in sync."""
    beside = [one for one in status.drifts if not one.is_open]
    named = [_told_drift(one) for one in beside]
    return f"no drift, but to be known: {', '.join(named)}" if named else ""


def _told_drift(drift: Drift) -> str:
    if drift.kind is DriftKind.SYSTEM:
        return f"it runs {short(drift.observed)}"
    return f"{drift.kind.value} {drift.subject}".strip()


def told_report(status: HostStatus, now: float) -> str:
    """Say when a host that deploys itself has last told how it stands."""
    if status.report_at is None:
        return "reports itself, and has not yet"
    stale = ", which is stale" if status.is_silent else ""
    return f"reports itself, last {ago(now - status.report_at)} ago{stale}"


def told_bell(bell: Bell | None) -> str:
    """Say how it comes that a host is looked at, besides every now and then."""
    if bell is None:
        return "not known: no daemon runs that looks at it"
    if bell.state is BellState.FLAPPING:
        return f"flapping, so polled: {bell.why}"
    return f"polled: {bell.why}" if bell.why else "it rings"


def told_hold(hold: Hold, now: float) -> str:
    """Say who holds a host, for how long, and why."""
    by = f" by {hold.actor}" if hold.actor else ""
    until = f", until {when(hold.until)}" if hold.until is not None else ""
    return f"held{by} for {ago(now - hold.since)}{until}: {hold.reason}"


def told_quarantine(quarantine: Quarantine, now: float) -> str:
    """Say how often a system failed on a host, and how."""
    times = f"{quarantine.failures} time{'' if quarantine.failures == 1 else 's'}"
    first = f"{ago(now - quarantine.since)} ago"
    last = f"attempt {quarantine.attempt}"
    return f"failed {times} since {first}, last in {last}: {quarantine.reason}"


def counted(words: Sequence[str]) -> str:
    """Return how many hosts there are, and of each kind (3 hosts: 3 in sync)."""
    order = [*VERDICT_WORDS.values()]
    counts = sorted(
        Counter(words).items(),
        key=lambda pair: order.index(pair[0]) if pair[0] in order else len(order),
    )
    told = ", ".join(f"{count} {word}" for word, count in counts)
    hosts = f"{len(words)} host{'' if len(words) == 1 else 's'}"
    return f"{hosts}: {told}" if told else hosts


def ago(seconds: float) -> str:
    """Say a duration in its largest unit: 45s, 12m, 5h, 3d."""
    seconds = max(0.0, seconds)
    if seconds < MINUTE:
        return f"{seconds:.0f}s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f}m"
    if seconds < DAY:
        return f"{seconds / HOUR:.0f}h"
    return f"{seconds / DAY:.0f}d"


def when(seconds: float) -> str:
    """Say a moment, given in seconds since the epoch, in local time."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%F %T")


def short_path(path: str | None) -> str:
    """Shorten a store path to a few characters of its hash and its name."""
    if not path:
        return "-"
    name = path.rpartition("/")[2]
    digest, _, rest = name.partition("-")
    return f"{digest[:HASH_SHOWN]}…{rest}" if rest else name
