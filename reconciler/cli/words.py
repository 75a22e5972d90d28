"""How values read for a person. Pure."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.text import Text

from reconciler.model import HostStatus, Outcome, Verdict

HASH_SHOWN = 7  # characters of a store path's hash
MINUTE, HOUR, DAY = 60, 3600, 86400

STYLES = {
    Verdict.CONVERGED: "green",
    Verdict.DEPLOY: "cyan",
    Verdict.HEAL: "yellow",
    Verdict.REPORTED: "yellow",
    Verdict.HELD: "magenta",
    Verdict.BLOCKED: "red",
}
VERDICT_WORDS = {
    Verdict.CONVERGED: "in sync",
    Verdict.DEPLOY: "to deploy",
    Verdict.HEAL: "to heal",
    Verdict.REPORTED: "reported",
    Verdict.HELD: "held",
    Verdict.BLOCKED: "blocked",
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
    if not status.reachable:
        return Text("error" if status.verdict is None else "unreachable", "red")
    if status.verdict is None or status.verdict is Verdict.CONVERGED:
        return Text("error", "red")
    return Text(VERDICT_WORDS[status.verdict], STYLES[status.verdict])


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
