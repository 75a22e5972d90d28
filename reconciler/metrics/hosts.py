"""
What is known of each host, read at each scrape: a series is there while its host is.

Nothing is set and nothing removed: what the last status of a host says is what its
series say.
"""

import collections
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from reconciler.model import CommitId, DriftKind, HostName, HostStatus, Verdict

_STORE = "/nix/store/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The last status of a host, and what it does not say."""

    status: HostStatus
    evaluated: CommitId | None = None  # the commit that it was aimed at
    succeeded_at: float = 0.0  # when a pass last found it in sync
    drifts: "collections.Counter[DriftKind]" = field(
        default_factory=collections.Counter
    )  # those that do not last

    @classmethod
    def of(
        cls, status: HostStatus, evaluated: CommitId | None, before: "Shown | None"
    ) -> "Shown":
        """Return what there is to show of *status*."""
        at = before.succeeded_at if before else 0.0
        return cls(
            status=status,
            evaluated=evaluated,
            succeeded_at=status.updated_at if status.in_sync else at,
            drifts=collections.Counter(
                drift.kind for drift in status.drifts if not drift.lasting
            ),
        )


Samples = Iterator[tuple[Sequence[str], float]]
"""Values of the labels behind ``host``, and of the series."""


def _one(value: Callable[[Shown], float]) -> Callable[[Shown], Samples]:
    def samples(shown: Shown) -> Samples:
        yield (), value(shown)

    return samples


def _verdicts(shown: Shown) -> Samples:
    for verdict in Verdict:
        yield (verdict.value,), verdict is shown.status.verdict


def _drifts(shown: Shown) -> Samples:
    for kind in DriftKind:
        yield (kind.value,), shown.drifts[kind]


def _info(shown: Shown) -> Samples:
    status = shown.status
    # As Prometheus's own service discovery writes lists: `tags=~".*,web,.*"`.
    tags = f",{','.join(sorted(status.tags))}," if status.tags else ""
    systems = (status.target or "", status.running or "")
    short = (system.removeprefix(_STORE) for system in systems)
    yield (shown.evaluated or "", *short, status.address, tags), 1


def _held_since(shown: Shown) -> float:
    return shown.status.hold.since if shown.status.hold else 0


def _keys_wrong(shown: Shown) -> float:
    return shown.drifts[DriftKind.KEY_CHANGED] + shown.drifts[DriftKind.KEY_PERMISSIONS]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric of hosts."""

    name: str
    text: str
    samples: Callable[[Shown], Samples]
    labels: tuple[str, ...] = ()  # behind `host`


FAMILIES = (
    Family(
        "host_up",
        "Whether the host answered the last probe.",
        _one(lambda shown: shown.status.reachable),
    ),
    Family(
        "host_in_sync",
        "Whether the host is what its commit says.",
        _one(lambda shown: shown.status.in_sync),
    ),
    Family(
        "host_verdict",
        "1 for what the last pass decided for the host, 0 for the others; all 0 if"
        " no plan could be made.",
        _verdicts,
        ("verdict",),
    ),
    Family(
        "host_info",
        "Always 1: the last commit evaluated for the host, the systems that it"
        " should run and runs, its address and its tags (between commas).",
        _info,
        ("commit", "desired", "running", "address", "tags"),
    ),
    Family(
        "drift_items",
        "Differences by kind, without those that are legitimate and last.",
        _drifts,
        ("kind",),
    ),
    Family(
        "drift_since_timestamp_seconds",
        "When the present run of drift was first seen; 0 while there is none.",
        _one(lambda shown: shown.status.drift_since or 0),
    ),
    Family(
        "units_desired",
        "Units that should be active.",
        _one(lambda shown: shown.status.units_desired),
    ),
    Family(
        "units_active",
        "Units that should be active and are.",
        _one(lambda shown: shown.status.units_active),
    ),
    Family(
        "last_success_timestamp_seconds",
        "When a pass last found the host in sync; 0 if not since the start.",
        _one(lambda shown: shown.succeeded_at),
    ),
    Family(
        "held",
        "Whether somebody said to leave the host alone.",
        _one(lambda shown: shown.status.hold is not None),
    ),
    Family(
        "held_since_timestamp_seconds",
        "When the host was held; 0 while it is not.",
        _one(_held_since),
    ),
    Family(
        "quarantined",
        "Whether the system that the host should run failed there before.",
        _one(lambda shown: shown.status.quarantine is not None),
    ),
    Family(
        "keys_desired",
        "Keys that the commit declares.",
        _one(lambda shown: shown.status.keys_desired),
    ),
    Family(
        "keys_present",
        "Keys whose file stands on the host, right or not.",
        _one(lambda shown: shown.status.keys_present),
    ),
    Family(
        "keys_missing",
        "Keys that are not on the host.",
        _one(lambda shown: shown.drifts[DriftKind.KEY_MISSING]),
    ),
    Family(
        "keys_wrong",
        "Keys with another content, owner or mode, or that cannot be compared.",
        _one(_keys_wrong),
    ),
)


class HostsCollector(Collector):
    """The hosts that are known, and how they stand; for one lock of its owner's."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._shown: dict[HostName, Shown] = {}

    def __contains__(self, host: HostName) -> bool:
        return host in self._shown

    def know(self, host: HostName) -> None:
        """Show *host*, of which nothing was seen yet."""
        unseen = HostStatus(host=host, commit=CommitId(""), updated_at=0.0)
        self._shown[host] = Shown(status=unseen)

    def forget(self, host: HostName) -> None:
        """Show *host* no more."""
        del self._shown[host]

    def show(self, status: HostStatus, evaluated: CommitId | None) -> None:
        """Show what the last pass found on a host that is known."""
        before = self._shown[status.host]
        self._shown[status.host] = Shown.of(status, evaluated, before)

    @override
    def collect(self) -> Iterator[Metric]:
        shown = sorted(self._shown.items())
        text = "Hosts that the last commit declares."
        yield GaugeMetricFamily(f"{self._prefix}hosts", text, value=len(shown))
        for family in FAMILIES:
            labels = ("host", *family.labels)
            found = GaugeMetricFamily(
                f"{self._prefix}{family.name}", family.text, labels=labels
            )
            for host, one in shown:
                for values, value in family.samples(one):
                    found.add_metric([host, *values], float(value))
            yield found
