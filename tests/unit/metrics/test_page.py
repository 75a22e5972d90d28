"""The names follow Prometheus's conventions, and the page tells them all."""

from pathlib import Path

from reconciler.metrics import Metrics
from reconciler.metrics.page import page
from reconciler.model import HostName
from tests.support.promtool import promtool

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def scrape() -> bytes:
    metrics = Metrics()
    metrics.host_known(HostName("keanu"))
    return metrics.render()[0]


def test_promtool_has_nothing_to_say() -> None:
    checked = promtool(["check", "metrics"], stdin=scrape())

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
