"""
One host for all trials of a file, which says in ``POLICY`` how patient it is.

Of all trials `make test` makes those that are listed in ``every_day.txt``, as many as
fit into two minutes or three; `make faults` makes all.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults.releases import HOST
from tests.support.faults.trial import Trial, faulty_rig, mend
from tests.support.fleet import FleetFactory
from tests.support.rig import Rig

HERE = Path(__file__).parent
EVERY_DAY = frozenset((HERE / "every_day.txt").read_text().splitlines())


@pytest.hookimpl(tryfirst=True)  # before marks are looked at
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave trials to `make faults` that are not of every day."""
    trials = {
        f"{item.path.name}::{item.name}": item
        for item in items
        if item.path.parent == HERE and "rig" in getattr(item, "fixturenames", ())
    }
    for name in trials.keys() - EVERY_DAY:
        trials[name].add_marker(pytest.mark.matrix)
    unknown = EVERY_DAY - trials.keys()
    if unknown and config.args == config.getini("testpaths"):
        message = f"every_day.txt: there is no {', '.join(sorted(unknown))}"
        raise pytest.UsageError(message)


@pytest.fixture(scope="module")
def rig(
    request: pytest.FixtureRequest,
    module_fleet: FleetFactory,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Rig]:
    """Give a host that runs a first release, and its daemon."""
    folder = tmp_path_factory.mktemp("rig")
    with faulty_rig(folder, module_fleet(HOST), request.module.POLICY) as rig:
        yield rig


@pytest.fixture
def trial(rig: Rig) -> Trial:
    """Begin with a sound host, whatever the trial before has left."""
    mend(rig)
    return Trial(rig)
