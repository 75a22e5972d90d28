"""What the tests of ``deploy/`` share."""

import shutil

import pytest

from tests.nixpkgs.conftest import Nix
from tests.support.rig import ROOT

DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="session")
def nix() -> Nix:
    """Give the machine's own Nix, with the stand-in as `<nixpkgs>`."""
    if shutil.which("nix-instantiate") is None:
        pytest.skip("no Nix on this machine")
    return Nix()
