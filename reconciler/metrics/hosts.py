"""
Every metric family that has series of its own for each host, and how they are written.

In prometheus-client each series is an object, and a scrape of a thousand hosts would
walk through tens of thousands of them. Here a host is one record, which is there while
the host is, and the text is made of what it says.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from reconciler.metrics.results import PassResult
from reconciler.metrics.shown import Shown
from reconciler.metrics.text import escaped, number
from reconciler.model import DriftKind, Evaluated, HostName, Outcome

_STORE = "/nix/store/"

HOSTS_TEXT = "Hosts that the last commit declares."

Samples = Iterator[tuple[Sequence[str], float]]
"""Values of the labels behind ``host``, and of the series."""


def _one(value: Callable[[Shown], float]) -> Callable[[Shown], Samples]:
    def samples(shown: Shown) -> Samples:
        yield (), value(shown)

    return samples


def _number(name: str) -> Callable[[Shown], Samples]:
    return _one(lambda shown: shown.numbers.get((name, ""), 0))


def _numbers(name: str, labels: Sequence[str]) -> Callable[[Shown], Samples]:
    def samples(shown: Shown) -> Samples:
        for label in labels:
            yield (label,), shown.numbers.get((name, label), 0)

    return samples


def _verdict(shown: Shown) -> Samples:
    if shown.status.verdict is not None:
        yield (shown.status.verdict.value,), 1


def _bell(shown: Shown) -> Samples:
    if shown.bell is not None:
        yield (shown.bell.value,), 1


def _evaluations(shown: Shown) -> Samples:
    for result in Evaluated:
        # How a list of hosts came about is not told.
        if shown.status.host or result is Evaluated.FAILED:
            yield (result.value,), shown.numbers.get(("evaluations", result.value), 0)


def _drifts(shown: Shown) -> Samples:
    for kind, count in shown.drifts.items():
        yield (kind.value,), count


def _info(shown: Shown) -> Samples:
    status = shown.status
    # As Prometheus's own service discovery writes lists: `tags=~".*,web,.*"`.
    tags = f",{','.join(sorted(status.tags))}," if status.tags else ""
    systems = (status.target or "", status.running or "")
    desired, running = (system.removeprefix(_STORE) for system in systems)
    yield (status.address, shown.evaluated or "", desired, running, tags), 1


def _report(shown: Shown) -> Samples:
    if shown.status.deploys_itself:
        yield (), shown.status.report_at or 0


def _held_since(shown: Shown) -> float:
    return shown.status.hold.since if shown.status.hold else 0


def _keys_wrong(shown: Shown) -> float:
    return shown.drifts[DriftKind.KEY_CHANGED] + shown.drifts[DriftKind.KEY_PERMISSIONS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric of hosts."""

    name: str
    text: str
    why: str  # each host has it: who asks for it
    samples: Callable[[Shown], Samples]
    labels: tuple[str, ...] = ()  # but `host`
    counter: bool = False
    of_list: bool = False  # the list of hosts has it as well, as a host without a name

    @property
    def kind(self) -> str:
        """What Prometheus calls it."""
        return "counter" if self.counter else "gauge"

    @property
    def series(self) -> str:
        """The name of its series."""
        return f"reconciler_{self.name}{'_total' if self.counter else ''}"


FAMILIES = (
    Family(
        name="host_up",
        text="Whether the host answered the last probe; of one that deploys itself,"
        " whether what it reported last still counts.",
        why="the dashboards of hosts",
        samples=_one(lambda shown: shown.status.reachable),
    ),
    Family(
        name="host_in_sync",
        text="Whether the host is what its commit says.",
        why="ReconcilerHostFlapping, and most dashboards",
        samples=_one(lambda shown: shown.status.in_sync),
    ),
    Family(
        name="host_verdict",
        text="Always 1: what the last pass decided for the host; none if no plan could"
        " be made.",
        why="ReconcilerHostBlocked: the one verdict that it has",
        samples=_verdict,
        labels=("verdict",),
    ),
    Family(
        name="host_info",
        text="Always 1: the last commit evaluated for the host, the systems that it"
        " should run and runs, its address and its tags (between commas).",
        why="one place for texts that change, to be joined in",
        samples=_info,
        labels=("address", "commit", "desired", "running", "tags"),
    ),
    Family(
        name="host_report_timestamp_seconds",
        text="When the last report of a host came that deploys itself; 0 before the"
        " first. Other hosts have none.",
        why="ReconcilerHostSilent: only hosts that deploy themselves have it",
        samples=_report,
    ),
    Family(
        name="host_bell",
        text="Always 1: how it comes that the host is looked at: it rings; it rings"
        " without end, and is polled (flapping); it has no bell, and is polled.",
        why="the dashboard of a host: the one state that it has",
        samples=_bell,
        labels=("state",),
    ),
    Family(
        name="bell_rings",
        text="How often the host said that something has changed.",
        why="the dashboard of a host: which one keeps us busy",
        samples=_number("bell_rings"),
        counter=True,
    ),
    Family(
        name="drift_items",
        text="Differences of each kind that there are, without those that are"
        " legitimate and last.",
        why="ReconcilerHostUnreachable, …WrongMachine, …UnitFailed, …RebootNeeded: one"
        " for each kind of difference, so none while it is in sync",
        samples=_drifts,
        labels=("kind",),
    ),
    Family(
        name="drift_since_timestamp_seconds",
        text="When the present run of drift was first seen; 0 while there is none.",
        why="ReconcilerHostDrift",
        samples=_one(lambda shown: shown.status.drift_since or 0),
    ),
    Family(
        name="units_desired",
        text="Units that should be active.",
        why="the dashboards of hosts",
        samples=_one(lambda shown: shown.status.units_desired),
    ),
    Family(
        name="units_active",
        text="Units that should be active and are.",
        why="the dashboards of hosts",
        samples=_one(lambda shown: shown.status.units_active),
    ),
    Family(
        name="last_success_timestamp_seconds",
        text="When a pass last found the host in sync; 0 if not since the start.",
        why="the dashboards of hosts",
        samples=_one(lambda shown: shown.succeeded_at),
    ),
    Family(
        name="held",
        text="Whether somebody said to leave the host alone.",
        why="ReconcilerHostDrift, which a hold silences",
        samples=_one(lambda shown: shown.status.hold is not None),
    ),
    Family(
        name="held_since_timestamp_seconds",
        text="When the host was held; 0 while it is not.",
        why="ReconcilerHostHeld",
        samples=_one(_held_since),
    ),
    Family(
        name="quarantined",
        text="Whether the system that the host should run failed there before.",
        why="ReconcilerHostQuarantined",
        samples=_one(lambda shown: shown.status.quarantine is not None),
    ),
    Family(
        name="keys_desired",
        text="Keys that the commit declares.",
        why="the dashboard of a host",
        samples=_one(lambda shown: shown.status.keys_desired),
    ),
    Family(
        name="keys_present",
        text="Keys whose file stands on the host, right or not.",
        why="the dashboard of a host",
        samples=_one(lambda shown: shown.status.keys_present),
    ),
    Family(
        name="keys_missing",
        text="Keys that are not on the host.",
        why="ReconcilerKeyMissing",
        samples=_one(lambda shown: shown.drifts[DriftKind.KEY_MISSING]),
    ),
    Family(
        name="keys_wrong",
        text="Keys with another content, owner or mode, or that cannot be compared.",
        why="the dashboard of a host",
        samples=_one(_keys_wrong),
    ),
    Family(
        name="attempts",
        text="Attempts to change a host, by outcome.",
        why="ReconcilerDeploymentFailed; by outcome on the dashboards",
        samples=_numbers("attempts", [one.value for one in Outcome]),
        labels=("outcome",),
        counter=True,
    ),
    Family(
        name="rollbacks",
        text="Attempts after which the host went back to its former system, but for"
        " those that somebody asked for.",
        why="ReconcilerDeploymentRolledBack; the reasons are counted for all hosts"
        " together",
        samples=_number("rollbacks"),
        counter=True,
    ),
    Family(
        name="passes",
        text="Passes over a host, by result.",
        why="ReconcilerPassesFailing compares the results of one host",
        samples=_numbers("passes", [one.value for one in PassResult]),
        labels=("result",),
        counter=True,
    ),
    Family(
        name="evaluations",
        text="Commits that were read: evaluated, unchanged (nothing that the last"
        " evaluation looked at differs) or failed; without a host: those whose list of"
        " hosts failed.",
        why="the dashboard of the program: whom pushes have evaluated, and for whom"
        " it failed",
        samples=_evaluations,
        labels=("result",),
        counter=True,
        of_list=True,
    ),
    Family(
        name="evaluation_failing",
        text="Whether the newest commit does not evaluate for the host, which is kept"
        " as the last good one says; without a host: whether its list of hosts does"
        " not, and no host is brought to it.",
        why="ReconcilerEvaluationFailing",
        samples=_number("evaluation_failing"),
        of_list=True,
    ),
    Family(
        name="evaluation_seconds",
        text="What the last evaluation of the host took; 0 before the first.",
        why="the dashboard of the program: which hosts are dear",
        samples=_number("evaluation_seconds"),
    ),
    Family(
        name="evaluation_memory_bytes",
        text="The most memory that the last evaluation of the host had; 0 before the"
        " first.",
        why="the dashboard of the program: which hosts are dear",
        samples=_number("evaluation_memory_bytes"),
    ),
)


class Hosts:
    """The hosts that are known, and how they stand; for one lock of its owner's."""

    def __init__(self) -> None:
        self._shown: dict[HostName, Shown] = {}
        self._list = Shown.unseen(HostName(""))

    def know(self, host: HostName) -> None:
        """Show *host*, of which nothing was seen yet, if it is new."""
        if host not in self._shown:
            self._shown[host] = Shown.unseen(host)

    def forget(self, host: HostName) -> None:
        """Show *host* no more."""
        self._shown.pop(host, None)

    def of(self, host: HostName | None) -> Shown | None:
        """Return what is shown of *host*, if it is known; None: the list of hosts."""
        return self._list if host is None else self._shown.get(host)

    def text(self) -> str:
        """Return all series, as Prometheus scrapes them."""
        shown = [(escaped(host), one) for host, one in sorted(self._shown.items())]
        with_list = [("", self._list), *shown]
        told = [f"# HELP reconciler_hosts {HOSTS_TEXT}\n"]
        told.append(f"# TYPE reconciler_hosts gauge\nreconciler_hosts {len(shown)}\n")
        for family in FAMILIES:
            told.append(f"# HELP {family.series} {family.text}\n")
            told.append(f"# TYPE {family.series} {family.kind}\n")
            told += _lines(family, with_list if family.of_list else shown)
        return "".join(told)


def _lines(family: Family, shown: Sequence[tuple[str, Shown]]) -> Iterator[str]:
    name = family.series
    for host, one in shown:
        for values, value in family.samples(one):
            if values:
                pairs = zip(family.labels, map(escaped, values), strict=True)
                labels = [f'host="{host}"', *(f'{key}="{text}"' for key, text in pairs)]
                yield f"{name}{{{','.join(sorted(labels))}}} {number(value)}\n"
            else:
                yield f'{name}{{host="{host}"}} {number(value)}\n'
