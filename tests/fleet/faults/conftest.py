"""One host for all trials of a file, which says in ``POLICY`` how patient it is."""

from collections.abc import Iterator

import pytest

from tests.support.faults.releases import HOST
from tests.support.faults.trial import Trial, faulty_rig, mend
from tests.support.fleet import FleetFactory
from tests.support.rig import Rig


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
