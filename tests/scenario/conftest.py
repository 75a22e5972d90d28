"""What every scenario needs: one scene, and copies that reach machines in memory."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scene import Scene, write_copy


@pytest.fixture(scope="module", autouse=True)
def _copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # For these modules only: other tests of the same worker copy for real.
    folder = tmp_path_factory.mktemp("bin")
    write_copy(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        yield


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.close()
