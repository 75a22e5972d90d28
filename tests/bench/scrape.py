"""What a scrape of a thousand hosts costs."""

import time
from pathlib import Path

from reconciler.metrics import Metrics, PassResult
from reconciler.model import (
    BellState,
    CommitId,
    HostName,
    HostStatus,
    StorePath,
    Verdict,
)
from tests.bench.names import names
from tests.bench.report import Row, Section, Target

HOSTS = 1000
LIMIT = 0.1  # seconds
SERIES_LIMIT = 35  # of each host


def measure(_folder: Path, rounds: int) -> Section:
    """Render the metrics of a thousand hosts that are in sync."""
    metrics = Metrics()
    for host in names(HOSTS):
        metrics.host_known(host)
        metrics.host_status(_status(host), CommitId("c0ffee" * 6))
        metrics.host_bell(host, BellState.RINGS)
        metrics.pass_ended(host, PassResult.SUCCESS)
    took, text = [], b""
    for _ in range(rounds):
        began = time.thread_time()
        text, _ = metrics.render()
        took.append(time.thread_time() - began)
    of_hosts = sum(b'host="name' in line for line in text.splitlines())
    row = Row(name=f"a scrape of {HOSTS} hosts, processor time", values=tuple(took))
    return Section(
        title=f"/metrics with {HOSTS} hosts",
        unit="s",
        rows=(row,),
        targets=(
            Target(name="a scrape", value=row.median, limit=LIMIT, unit="s"),
            Target(
                name="series of each host",
                value=of_hosts / HOSTS,
                limit=SERIES_LIMIT,
                unit="",
            ),
        ),
        notes=(f"{len(text) / 1e6:.2f} MB",),
    )


def _status(host: HostName) -> HostStatus:
    system = StorePath(f"/nix/store/{'x' * 32}-nixos-system-{host}-26.05")
    return HostStatus(
        host=host,
        commit=CommitId("c0ffee" * 6),
        updated_at=1_800_000_000.125,
        verdict=Verdict.CONVERGED,
        reachable=True,
        target=system,
        running=system,
        units_desired=120,
        units_active=120,
        keys_desired=2,
        keys_present=2,
        address=f"{host}.example.org",
        tags=("web", "eu"),
    )
