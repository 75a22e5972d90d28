"""Databases for the tests of history."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.history import migrate
from reconciler.history.schema import REVISION
from tests.support.places import Place, emptied
from tests.support.postgresql import Cluster, cluster

NEWER = """
from alembic import op
revision, down_revision = "9998", "{}"
def upgrade():
    for one in "{}".split(";"):
        op.execute(one)
"""


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


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what installs a version with one more migration, which runs this SQL."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder)

    def install(sql: str) -> None:
        (folder / "versions" / "v9998.py").write_text(NEWER.format(REVISION, sql))
        monkeypatch.setattr(migrate, "MIGRATIONS", folder)
        monkeypatch.setattr(migrate, "REVISION", "9998")

    return install
