"""
The system that a repository's own tool makes of it, and ours: the same derivation.

With a whole nixpkgs, and the sources of the tools where their own evaluation is asked:

    RECONCILER_TEST_NIXPKGS=/path/to/nixpkgs RECONCILER_TEST_COLMENA=/path/to/colmena \
        pytest tests/adapters/test_comparisons.py

Others are RECONCILER_TEST_DEPLOY_RS, RECONCILER_TEST_MORPH and RECONCILER_TEST_NIXOPS
(its version 2). What is not named is skipped.

Found equal with a nixpkgs of 26.11 and Nix 2.26, in December 2026: all those of files
(nixos-rebuild, an attribute, Colmena, morph, NixOps 2), and the flake of nixos-rebuild.
For each flake Nix 2.26 reads the whole nixpkgs, which takes minutes.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.desired import Evaluator
from reconciler.model import Desired, HostName
from tests.adapters.desired_nix import NIXPKGS, settings
from tests.adapters.flakes import Repository, as_fetched, nix

pytestmark = [
    pytest.mark.nix,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(
        "RECONCILER_TEST_NIXPKGS" not in os.environ,
        reason="RECONCILER_TEST_NIXPKGS names no nixpkgs to compare with",
    ),
]

WEB = """
  { config, lib, pkgs, ... }: {
    boot.isContainer = true;
    system.stateVersion = "25.05";
    networking.hostName = "web";
    services.openssh.enable = true;
    users.users.ops = { isNormalUser = true; extraGroups = [ "wheel" ]; };
    environment.etc.motto.text = "as ever";
    systemd.services.hello = {
      wantedBy = [ "multi-user.target" ];
      script = "exec sleep infinity";
    };
  }
"""
PACKAGES = 'import nixpkgs { system = "x86_64-linux"; }'
SYSTEM = 'system [ ./web.nix { nixpkgs.hostPlatform = "x86_64-linux"; } ]'


@pytest.fixture(scope="module")
def nixpkgs_input() -> Mapping[str, object]:
    """Put nixpkgs into the store; return what locks it."""
    return as_fetched()


@pytest.fixture
def flake(tmp_path: Path, nixpkgs_input: Mapping[str, object]) -> Repository:
    """Give a flake to be, with the module of a host beside it."""
    repository = Repository(tmp_path, nixpkgs_input)
    repository.write("web.nix", WEB)
    return repository


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give a repository to be, with the module of a host."""
    (tmp_path / "web.nix").write_text(WEB)
    return tmp_path


def tool(name: str) -> Path:
    """Return the sources of a tool; skip the test if nobody has named them."""
    variable = f"RECONCILER_TEST_{name}"
    if variable not in os.environ:
        pytest.skip(f"{variable} names no sources of it")
    return Path(os.environ[variable])


def ours(checkout: Path, *entry: str) -> Desired:
    """Return what we make of the host *web* of plain files."""
    return Evaluator(settings(*entry)).evaluate(checkout, HostName("web"))


def theirs(expression: str) -> object:
    """Return the value of *expression* with the same nixpkgs."""
    flakes = ("--option", "extra-experimental-features", "flakes")
    argv = ("nix-instantiate", "--eval", "--strict", "--json", "-I")
    said = nix(*argv, f"nixpkgs={NIXPKGS}", *flakes, "--expr", expression)
    return json.loads(said)


TOPLEVEL = "config.system.build.toplevel.drvPath"


def test_a_file_of_a_host_as_nixos_rebuild(checkout: Path) -> None:
    (checkout / "hosts").mkdir()
    file = (checkout / "web.nix").rename(checkout / "hosts/web.nix")

    own = theirs(f"(import <nixpkgs/nixos> {{ configuration = {file}; }}).{TOPLEVEL}")

    assert ours(checkout).derivation == own


def test_an_attribute_as_nix_itself(checkout: Path) -> None:
    (checkout / "default.nix").write_text(
        "{ hosts.web = import <nixpkgs/nixos/lib/eval-config.nix>"
        " { modules = [ ./web.nix ]; }; }"
    )

    own = theirs(f"(import {checkout}/default.nix).hosts.web.{TOPLEVEL}")

    assert ours(checkout, "default.nix#hosts").derivation == own


def test_a_flake_as_nixos_rebuild(flake: Repository) -> None:
    flake.flake(f"nixosConfigurations.web = {SYSTEM};")

    assert flake.evaluate("web").derivation == flake.own_tool("nixosConfigurations.web")


def test_a_node_of_deploy_rs_as_what_it_wraps(flake: Repository) -> None:
    """Made by its own function, and called otherwise than the configuration."""
    flake.write("deploy-rs.nix", (tool("DEPLOY_RS") / "flake.nix").read_text())
    flake.flake(
        f"""
        nixosConfigurations.web = {SYSTEM};
        deploy.nodes."web.example.org" = let
          pkgs = {PACKAGES};
          nothing = _: _: {{ }};
          utils.lib = {{ eachSystem = nothing; eachDefaultSystem = nothing; }};
          inherit ((import ./deploy-rs.nix).outputs {{
            inherit self nixpkgs utils;
            flake-compat = null;
          }}) overlays;
          with-itself = pkgs // {{ deploy-rs.deploy-rs = pkgs.hello; }};
          inherit (overlays.default with-itself pkgs) deploy-rs;
        in {{
          hostname = "web.example.org";
          profiles.system.path =
            deploy-rs.lib.activate.nixos self.nixosConfigurations.web;
        }};
        """
    )

    assert flake.hosts() == ("web.example.org",)
    desired = flake.evaluate("web.example.org")
    assert desired.derivation == flake.own_tool("nixosConfigurations.web")


@pytest.mark.parametrize("form", ["file", "flake"])
def test_a_hive_as_colmena(flake: Repository, form: str) -> None:
    evaluation = tool("COLMENA") / "src/nix/hive/eval.nix"
    text = """
    {
      meta = { nixpkgs = %s; specialArgs.words = "more"; };
      defaults.environment.etc.of-all.text = "here";
      web = { words, name, nodes, ... }: {
        imports = [ ./web.nix ];
        environment.etc.words.text = words + name;
        deployment.targetHost = "web.example.org";
      };
    }
    """
    checkout = flake.checkout
    if form == "file":
        flake.write("hive.nix", text % f"import {NIXPKGS} {{ }}")
        desired = ours(checkout)
        own = f"(import {evaluation} {{ rawHive = import {checkout}/hive.nix; }})"
    else:
        flake.flake(f"colmena = {text % PACKAGES};")
        desired = flake.evaluate("web")
        raw = f'builtins.getFlake "path:{checkout}"'
        own = f"(import {evaluation} {{ rawFlake = {raw}; }})"

    assert desired.derivation == theirs(f"{own}.nodes.web.{TOPLEVEL}")


NETWORK = """
  network.description = "one";
  defaults.environment.etc.of-all.text = "here";
  web = { name, nodes, resources, ... }: {
    imports = [ ./web.nix ];
    environment.etc.names.text = toString (builtins.attrNames nodes);
  };
"""


def test_a_network_as_morph(checkout: Path) -> None:
    """But for a file in which it lists the programs of health checks, be there none."""
    evaluation = tool("MORPH") / "data/eval-machines.nix"
    network = checkout / "network.nix"
    network.write_text(
        f"{{ network.pkgs = import {NIXPKGS} {{ }};"
        f"{NETWORK.replace('resources,', '')} }}"
    )

    own = f"(import {evaluation} {{ networkExpr = {network}; }}).nodes.web"
    without = "({ lib, ... }: { system.extraDependencies = lib.mkForce [ ]; })"
    own = f"({own}.extendModules {{ modules = [ {without} ]; }}).{TOPLEVEL}"

    assert ours(checkout).derivation == theirs(own)


@pytest.mark.parametrize("form", ["file", "flake"])
def test_a_network_as_nixops(flake: Repository, form: str) -> None:
    """But for the unit by which NixOps waits for its keys: here each has its own."""
    evaluation = tool("NIXOPS") / "nix/eval-machine-info.nix"
    checkout = flake.checkout
    if form == "file":
        flake.write("nixops.nix", f"{{ {NETWORK} }}")
        desired = ours(checkout)
        asked = f"networkExprs = [ {checkout}/nixops.nix ];"
    else:
        flake.flake(f"nixopsConfigurations.default = {{ inherit nixpkgs; {NETWORK} }};")
        desired = flake.evaluate("web")
        asked = f'networkExprs = [ ]; flakeUri = "path:{checkout}";'

    own = theirs(
        f"""
        builtins.mapAttrs
          (name: unit: if unit.enable then "${{unit.unit}}/${{name}}" else null)
          (import {evaluation} {{
            {asked} uuid = ""; deploymentName = ""; args = {{ }}; pluginNixExprs = [ ];
          }}).nodes.web.config.systemd.units
        """
    )

    units = {str(name): unit.path for name, unit in desired.units.items()}
    assert isinstance(own, dict)
    assert own.pop("nixops-keys.service") is None
    # Instances of a template that something pulls in: `getty@tty1`, of a newer nixpkgs.
    for name in units.keys() - own.keys():
        assert units.pop(name) == own[re.sub(r"@[^@]+\.", "@.", name)]
    assert own == units
