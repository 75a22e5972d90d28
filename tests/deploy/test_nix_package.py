"""The package and the flake: evaluated, as nothing here could build them."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.deploy.conftest import DEPLOY
from tests.nixpkgs.conftest import Nix
from tests.support.rig import NIXPKGS, ROOT

pytestmark = pytest.mark.nix

# As much of nixpkgs as the package takes; whatever else it would ask for fails.
PACKAGE = """
  let
    pkgs = import <nixpkgs> {{ }};
    names = [ "setuptools" {known} ];
    python3Packages = pkgs.lib.genAttrs names (name: {{ pname = name; }}) // {{
      buildPythonApplication = args: args;
      buildPythonPackage = args: args;
    }};
    more = {{
      inherit python3Packages callPackage;
      inherit (pkgs) lib gitMinimal openssh nix;
      fetchPypi = args: args;
      autoPatchelfHook = null;
      stdenv = {{ inherit (pkgs.stdenv) hostPlatform; cc.cc.lib = null; }};
    }};
    callPackage = pkgs.lib.callPackageWith more;
  in
  callPackage {folder}/nixos/package.nix {{ }}
"""


def requirements() -> list[str]:
    """Return the names of what pyproject.toml asks for."""
    text = (ROOT / "pyproject.toml").read_text()
    (listed,) = re.findall(
        r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL
    )
    return re.findall(r'^  "([\w.-]+)', listed, re.MULTILINE)


def package(*missing: str) -> str:
    """Return the package's expression, with a nixpkgs that has not *missing*."""
    known = [f'"{name}"' for name in requirements() if name not in missing]
    return f"({PACKAGE.format(known=' '.join(known), folder=DEPLOY)})"


def test_the_package_needs_what_the_project_does(nix: Nix) -> None:
    needed = nix.value(f"map (one: one.pname) {package('pyrage')}.dependencies")

    assert needed == requirements()


def test_what_nixpkgs_comes_to_have_is_taken_from_there(nix: Nix) -> None:
    ours = "map (one: one.pname) (builtins.filter (one: one ? src) {}.dependencies)"

    assert nix.value(ours.format(package())) == []
    assert nix.value(ours.format(package("pyrage"))) == ["pyrage"]


def test_a_library_that_nixpkgs_does_not_have_is_said_by_name(nix: Nix) -> None:
    error = nix.error(
        f"map (one: one.pname) {package('pyrage', 'fabric')}.dependencies"
    )

    assert "reconciler needs `fabric'" in error


def test_the_wheel_of_pyrage_is_the_pinned_version(nix: Nix) -> None:
    constraints = (ROOT / "constraints.txt").read_text()
    (pinned,) = re.findall(r"^pyrage==(.+)$", constraints, re.MULTILINE)
    wheels = f"builtins.filter (one: one ? src) {package('pyrage')}.dependencies"

    assert nix.value(f"(builtins.head ({wheels})).src.version") == pinned


def test_the_package_is_made_of_the_program_alone(nix: Nix) -> None:
    expression = f'"${{{package("pyrage")}.src}}"'
    argv = ("nix-instantiate", "--eval", "--read-write-mode", "-E", expression)
    done = nix.run(*argv)
    assert done.returncode == 0, done.stderr
    source = Path(json.loads(done.stdout))

    files = {str(file.relative_to(source)) for file in source.rglob("*")}
    top = {name for name in files if "/" not in name}
    assert top == {"LICENSE", "README.md", "pyproject.toml", "reconciler"}
    assert "reconciler/observed/probe.sh" in files
    assert "reconciler/desired/nix/hosts.nix" in files
    assert not [name for name in files if "__pycache__" in name]


# --- the flake -------------------------------------------------------------------


@pytest.fixture(scope="module")
def flake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what the flake is made of, for Nix copies the whole folder."""
    folder = tmp_path_factory.mktemp("flake")
    for name in ("flake.nix", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(DEPLOY / "nixos", folder / "deploy" / "nixos")
    (folder / "reconciler").mkdir()
    return folder


def evaluated(nix: Nix, flake: Path, expression: str) -> object:
    """Return what *expression* of `flake` and `nixpkgs` evaluates to, as flakes are."""
    work = flake.parent / f"{flake.name}-asks"
    work.mkdir(exist_ok=True)
    inputs = f'{{ ours.url = "path:{flake}"; nixpkgs.url = "path:{NIXPKGS}";'
    inputs += ' ours.inputs.nixpkgs.follows = "nixpkgs"; }'
    (work / "flake.nix").write_text(
        f"{{ inputs = {inputs};"
        f" outputs = {{ self, ours, nixpkgs }}: {{ value = {expression}; }}; }}"
    )
    done = nix.run(
        *("nix", "--extra-experimental-features", "nix-command flakes", "eval"),
        *("--json", "--no-write-lock-file", f"path:{work}#value"),
    )
    assert done.returncode == 0, done.stderr
    value: object = json.loads(done.stdout)
    return value


def test_the_flake_offers_a_module_for_any_system(nix: Nix, flake: Path) -> None:
    listens = evaluated(
        nix,
        flake,
        """(nixpkgs.lib.nixosSystem {
          modules = [
            ours.nixosModules.default
            { nixpkgs.hostPlatform = "x86_64-linux";
              services.reconciler.settings.http.listen = "[::1]:80"; }
          ];
        }).config.services.reconciler.settings.http.listen""",
    )

    assert listens == "[::1]:80"


def test_the_flake_offers_packages_and_an_overlay(nix: Nix, flake: Path) -> None:
    told = evaluated(
        nix,
        flake,
        """{
          systems = builtins.attrNames ours.packages;
          packages = builtins.attrNames ours.packages.x86_64-linux;
          overlay = builtins.attrNames (ours.overlays.default {
            callPackage = file: _: file;
          } { });
        }""",
    )

    assert told == {
        "systems": ["aarch64-linux", "x86_64-linux"],
        "packages": ["default", "reconciler"],
        "overlay": ["reconciler"],
    }
