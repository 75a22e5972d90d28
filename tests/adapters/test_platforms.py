"""Systems for another platform than this machine's, told by its own Nix."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.desired import Evaluator
from reconciler.errors import BuildError
from reconciler.model import Desired, HostName, StorePath
from reconciler.settings import NixSettings, Settings
from tests.adapters.desired_nix import OFFLINE, PLAIN, host, settings

pytestmark = pytest.mark.nix

NOWHERE = "riscv64-linux"
KEANU = HostName("keanu")


def with_builders(builders: str) -> Settings:
    found = settings()
    options = {**OFFLINE, "builders": builders}
    nix = NixSettings(path=found.nix.path, options=options)
    return found.model_copy(update={"nix": nix})


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Desired:
    """Return a system that is built on another platform than ours."""
    folder = tmp_path_factory.mktemp("elsewhere")
    desired = Evaluator(settings()).evaluate(
        host(folder, "keanu", f"{{ {PLAIN} }}"), KEANU
    )
    assert desired.platform == "x86_64-linux"
    expression = (
        f'derivation {{ name = "other"; system = "{NOWHERE}"; builder = "/bin/sh"; }}'
    )
    argv = ["nix-instantiate", "--expr", expression]
    derivation = subprocess.check_output(argv, text=True, stderr=subprocess.DEVNULL)
    return replace(
        desired,
        platform=NOWHERE,
        derivation=StorePath(derivation.strip()),
        toplevel=StorePath(f"/nix/store/{'0' * 32}-other"),
    )


def test_what_nothing_here_builds_is_told_before_it_is_tried(
    elsewhere: Desired,
) -> None:
    told = Evaluator(with_builders("")).cannot_build(elsewhere)

    assert f"it is for {NOWHERE}" in told
    assert "x86_64-linux" in told
    ways = ("builders", "boot.binfmt.emulatedSystems", "hosts.NAME.build: host")
    assert all(way in told for way in ways)


def test_what_somebody_builds_is_not(elsewhere: Desired, tmp_path: Path) -> None:
    machines = tmp_path / "machines"
    machines.write_text(f"# ours\nssh://builder {NOWHERE},armv7l-linux /key 1\n")

    for builders in (f"ssh://a - ; ssh://b {NOWHERE}", f"@{machines}"):
        assert Evaluator(with_builders(builders)).cannot_build(elsewhere) == ""
    there = replace(elsewhere, build_on_host=True)
    assert Evaluator(with_builders("")).cannot_build(there) == ""
    ours = replace(elsewhere, platform="x86_64-linux")
    assert Evaluator(with_builders("")).cannot_build(ours) == ""


def test_a_build_that_needs_another_platform_says_what_to_do(
    elsewhere: Desired, tmp_path: Path
) -> None:
    with pytest.raises(BuildError, match=r"boot\.binfmt\.emulatedSystems"):
        Evaluator(with_builders("")).build(elsewhere, root=tmp_path / "root")
