"""Databases for the tests of history."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.places import Place, emptied
from tests.support.postgresql import Cluster, cluster


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """Run PostgreSQL; skip where it is not installed."""
    with cluster() as one:
        yield one


@pytest.fixture(scope="session")
def _used(postgresql: Cluster) -> str:
    return postgresql.new()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """
    Run what uses a `place` with both kinds of database.

    In files whose SQL is plain, which say ``SELDOM_POSTGRESQL``, that is SQLite every
    day, and both for `make faults`.
    """
    module = metafunc.module
    if "place" in metafunc.fixturenames and not hasattr(module, "place"):
        seldom = hasattr(module, "SELDOM_POSTGRESQL")
        marks = [pytest.mark.matrix] if seldom else []
        kinds = ["sqlite", pytest.param("postgresql", marks=marks)]
        metafunc.parametrize("place", kinds, indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return an empty database, of both kinds one after the other."""
    if request.param == "sqlite":
        return Place(folder=tmp_path)
    return Place(folder=tmp_path, url=emptied(request.getfixturevalue("_used")))
