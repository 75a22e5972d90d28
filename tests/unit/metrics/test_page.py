"""The names follow Prometheus's conventions, and the page tells them all."""

from pathlib import Path

from reconciler.metrics import Metrics
from reconciler.metrics.hosts import FAMILIES
from reconciler.metrics.page import page
from reconciler.model import (
    BellState,
    CommitId,
    Drift,
    DriftKind,
    HostName,
    HostStatus,
    Verdict,
)
from tests.support.deployed import asked
from tests.support.promql import selectors
from tests.support.promtool import promtool

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


KEANU = HostName("keanu")


def scrape(*drifts: Drift) -> bytes:
    metrics = Metrics()
    metrics.host_known(KEANU)
    metrics.host_bell(KEANU, BellState.RINGS)
    metrics.host_status(
        HostStatus(
            host=KEANU,
            commit=CommitId("c0ffee"),
            updated_at=1000.5,
            verdict=Verdict.CONVERGED,
            drifts=drifts,
        )
    )
    return metrics.render()[0]


def test_promtool_has_nothing_to_say() -> None:
    drifts = tuple(Drift(kind=kind) for kind in DriftKind)
    checked = promtool(["check", "metrics"], stdin=scrape(*drifts))

    assert (checked.returncode, checked.stdout) == (0, b"")


def test_promtool_would_have_something_to_say() -> None:
    checked = promtool(["check", "metrics"], stdin=scrape() + b"attempts_count 1\n")

    assert checked.returncode != 0


def test_nothing_is_dated() -> None:
    assert b"_created" not in scrape()


def test_the_page_is_up_to_date() -> None:
    told = "run: python -m reconciler.metrics.page > docs/metrics.md"
    assert PAGE.read_text() == page(), told


def test_the_page_names_every_family() -> None:
    names = {
        line.split()[2] for line in scrape().decode().splitlines() if "# TYPE" in line
    }

    assert len(names) > 30
    for name in names:
        assert f"| `{name}` |" in page()


def test_the_page_says_how_many_series_a_host_adds() -> None:
    lines = scrape().decode().splitlines()
    count = sum('host="keanu"' in line for line in lines)

    assert f"A host that is in sync and rings has {count} series" in page()
    assert count <= 35


def test_a_host_has_no_series_that_nobody_asks_for() -> None:
    """Each is a thousand of them for a thousand hosts."""
    used = {one.metric for query in asked() for one in selectors(query.expr)}

    assert {one.series for one in FAMILIES} <= used
