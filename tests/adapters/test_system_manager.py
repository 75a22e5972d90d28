"""Flakes with hosts that are not NixOS, as system-manager makes them."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.errors import EvaluationError, LayoutError
from reconciler.model import Desired, SystemKind, UnitName
from tests.adapters.flakes import Repository, as_fetched

pytestmark = pytest.mark.nix

ROOT = Path(__file__).parents[2]
STAND_IN = ROOT / "tests/support/system_manager"

EDGE = """
  systemConfigs.edge = managed [ {
    systemd.services.hello = {
      wantedBy = [ "multi-user.target" ];
      serviceConfig.ExecStart = "/bin/sleep 1d";
    };
    systemd.services.job.startAt = "daily";
    systemd.services.job.serviceConfig.ExecStart = "/bin/true";
    systemd.services.job.serviceConfig.Type = "oneshot";
    systemd.services.off.enable = false;
    systemd.maskedUnits = [ "cron.service" ];
    environment.etc."motd".text = "hello";
  } ];
"""


@pytest.fixture(scope="module")
def nixpkgs_input() -> Mapping[str, object]:
    return as_fetched()


@pytest.fixture
def repository(tmp_path: Path, nixpkgs_input: Mapping[str, object]) -> Repository:
    found = Repository(tmp_path, nixpkgs_input)
    shutil.copytree(STAND_IN, found.checkout / "system-manager")
    return found


def write(repository: Repository, outputs: str) -> None:
    helpers = """
      manager = import ./system-manager { inherit nixpkgs; };
      managed = modules: manager.lib.makeSystemConfig {
        modules = [ { nixpkgs.hostPlatform = "x86_64-linux"; } ] ++ modules;
      };
    """
    repository.flake(outputs, helpers=helpers)


def edge(repository: Repository, **settings: object) -> Desired:
    return repository.evaluate("edge", **settings)


def test_hosts_of_system_manager_are_listed_and_evaluated(
    repository: Repository,
) -> None:
    write(repository, EDGE)

    desired = edge(repository)

    assert repository.hosts() == ("edge",)
    assert desired.kind is SystemKind.SYSTEM_MANAGER
    assert desired.toplevel.endswith("-system-manager")
    assert desired.platform == "x86_64-linux"
    assert desired.ssh is None
    assert not desired.warnings


def test_the_system_is_the_one_that_its_own_tool_makes(repository: Repository) -> None:
    write(repository, EDGE)

    derivation = edge(repository).derivation

    assert derivation == repository.own_tool("systemConfigs.edge", "")


def test_units_are_those_that_it_activates(repository: Repository) -> None:
    """What NixOS's boot target wants, system-manager.target does."""
    write(repository, EDGE)

    units = edge(repository).units

    assert units[UnitName("hello.service")].wanted
    assert units[UnitName("system-manager.target")].wanted
    assert units[UnitName("job.timer")].wanted
    assert units[UnitName("job.service")].triggered
    # An entry that is switched off is not there, and masks nothing.
    assert UnitName("off.service") not in units
    assert units[UnitName("cron.service")].path is None


def test_a_platform_is_no_host_and_what_several_have_is_told_apart(
    repository: Repository,
) -> None:
    """`systemConfigs.<platform>.<name>` is where its own tool looks first."""
    write(
        repository,
        """
        systemConfigs.x86_64-linux = { edge = managed [ ]; default = managed [ ]; };
        systemConfigs.aarch64-linux.default = throw "is not looked at";
        """,
    )

    assert repository.hosts() == (
        "default.aarch64-linux",
        "default.x86_64-linux",
        "edge",
    )
    assert edge(repository).kind is SystemKind.SYSTEM_MANAGER
    found = repository.evaluate("default.x86_64-linux")
    assert found.toplevel == edge(repository).toplevel


def test_a_nixos_of_the_same_name_wins_and_that_is_told(
    repository: Repository,
) -> None:
    write(repository, f"nixosConfigurations.edge = system [ ]; {EDGE}")

    assert repository.hosts() == ("edge",)
    assert edge(repository).kind is SystemKind.NIXOS
    told = repository.evaluator().why(repository.checkout)
    assert "not served: systemConfigs" in told
    assert "rename" in told


def test_where_such_a_host_is_deploy_rs_may_say(repository: Repository) -> None:
    node = """
      deploy.nodes.edge = {
        hostname = "edge.example.org";
        sshUser = "admin";
        sshOpts = [ "-p" "2222" ];
        profiles.system-manager.path = "/nowhere";
      };
    """
    write(repository, f"{EDGE} {node}")

    desired = edge(repository)

    assert repository.hosts() == ("edge",)
    assert desired.target.login == "admin@edge.example.org:2222"
    assert desired.address_from == "deploy.nodes"


def test_keys_and_checks_are_there_for_who_imports_the_options(
    repository: Repository,
) -> None:
    """system-manager lets no module in from outside."""
    for folder in ("deploy", "reconciler/desired/nix"):
        files = shutil.ignore_patterns("__pycache__")
        target = repository.checkout / "reconciler" / folder
        shutil.copytree(ROOT / folder, target, ignore=files)
    write(
        repository,
        """
        systemConfigs.edge = managed [ ./reconciler/deploy/system-manager.nix {
          deployment.targetHost = "edge.example.org";
          deployment.keys.note.text = "a secret";
          deployment.healthChecks.tcp = [ { port = 80; } ];
        } ];
        systemConfigs.bare = managed [ ./reconciler/deploy/system-manager.nix ];
        """,
    )

    desired = edge(repository)

    assert desired.target.address == "edge.example.org"
    assert set(desired.keys) == {"note"}
    assert len(desired.checks) == 1
    assert UnitName("note-key.service") in desired.units
    assert repository.evaluate("bare").target.address == ""


def test_a_release_without_options_of_nixos_is_read_as_well(
    repository: Repository,
) -> None:
    """1.0 has no `system`, and shows no more of a system than its configuration."""
    write(
        repository,
        """
        systemConfigs.edge =
          let now = managed [ ]; in
          now // { config = removeAttrs now.config [ "system" ]; };
        """,
    )

    assert UnitName("system-manager.target") in edge(repository).units


def test_one_that_updates_itself_is_warned_of(repository: Repository) -> None:
    write(
        repository,
        "systemConfigs.edge = managed [ { system.autoUpgrade.enable = true; } ];",
    )

    (warning,) = edge(repository).warnings

    assert "system.autoUpgrade switches this host without us" in warning


def test_one_that_does_not_evaluate_fails_alone(repository: Repository) -> None:
    write(
        repository,
        EDGE
        + """
        systemConfigs.bad = managed [ {
          assertions = [ { assertion = false; message = "no disk"; } ];
        } ];
        systemConfigs.none = { };
        """,
    )

    assert repository.hosts() == ("bad", "edge", "none")
    with pytest.raises(EvaluationError, match="no disk"):
        repository.evaluate("bad")
    with pytest.raises(EvaluationError, match=r"systemConfigs\.none is a set and no"):
        repository.evaluate("none")
    assert edge(repository).units


def test_what_is_no_set_of_systems_is_told(repository: Repository) -> None:
    write(repository, "systemConfigs = [ ];")

    with pytest.raises((EvaluationError, LayoutError), match="systemConfigs is a list"):
        repository.hosts()
