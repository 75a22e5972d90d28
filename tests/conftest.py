"""What holds for every test."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.support import leftovers
from tests.support.budget import examples

leftovers.watch()

# A busy machine is no failure of the code, and what continuous integration tries must
# not differ from one run of a commit to the next; at a desk other examples are welcome.
settings.register_profile(
    "reconciler",
    deadline=None,
    max_examples=examples(25),
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("reconciler")

# A shell has what it starts in the background ignore Ctrl-C, and nohup the end of a
# terminal. That is inherited; programs under test are to be interrupted all the same.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

SLOWEST_FIRST = (
    "fleet/faults",
    "fleet",
    "nixpkgs",
    "adapters",
    "examples",
    "deploy",
    "scenario",
    "unit",
)
"""Folders by how long one of their files takes."""


@pytest.fixture(autouse=True)
def _logs_of_the_test() -> Iterator[None]:
    """Have no later test log to a standard error that is closed by then."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Let several workers begin with what takes long, so that they end together."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.path))


def rank(path: Path) -> int:
    """Say how early a file comes; in doubt last, where it is run soon alone."""
    here = path.relative_to(Path(__file__).parent).as_posix()
    ranks = (n for n, name in enumerate(SLOWEST_FIRST) if here.startswith(f"{name}/"))
    return next(ranks, len(SLOWEST_FIRST))
