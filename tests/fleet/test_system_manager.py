"""A host that is not NixOS, with what system-manager makes for it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.model import Outcome
from tests.fleet.test_layouts import store, write_flake
from tests.support.extra import attempts, last_ended
from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, NIX_OPTIONS, Rig
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
STAND_IN = ROOT / "tests/support/system_manager"
PROFILE = "/nix/var/nix/profiles/system-manager-profiles/system-manager"
PLAIN = ["--first-generation", str(STAND_IN / "plain-host.nix")]

MODULE = """
{
  nixpkgs.hostPlatform = "x86_64-linux";
  systemd.services.hello = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig.ExecStart = "/bin/sleep 1000";
  };
  environment.etc."hello.conf".text = "first";
  imports = [ ./ours/deploy/system-manager.nix ];
  deployment.keys.note.text = "a secret";
}
"""

OUTPUTS = """
systemConfigs.edge =
  let manager = import ./system-manager { inherit nixpkgs; };
  in manager.lib.makeSystemConfig { modules = [ ./edge.nix ]; };
"""


def content_in(folder: Path) -> Path:
    """Return a new repository with one host."""
    content = folder / "content"
    shutil.copytree(STAND_IN, content / "system-manager")
    for options in ("deploy/system-manager.nix", "reconciler/desired/nix"):
        source, target = ROOT / options, content / "ours" / options
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    (content / "edge.nix").write_text(MODULE)
    write_flake(content, OUTPUTS, store(folder))
    return content


@pytest.fixture
def rig(fleet: FleetFactory, tmp_path: Path) -> Iterator[Rig]:
    content = content_in(tmp_path)
    with Rig(tmp_path, fleet("edge", options=PLAIN), content=content) as made:
        url = str(made.repository.bare)
        made.write_settings(repository={"url": url}, nix={"options": NIX_OPTIONS})
        yield made


def profile(rig: Rig) -> str:
    """Return the system that its profile holds."""
    return rig.host("edge").exec("readlink", "-f", PROFILE).strip()


def bring(rig: Rig, old: str, new: str, *, conf: str) -> str:
    """Push a change of the service and the file, and return the system that runs."""
    rig.edit("edge.nix", old, new)
    text = (rig.repository.work / "edge.nix").read_text()
    changed = re.sub(r'text = ".*"', f'text = "{conf}"', text)
    (rig.repository.work / "edge.nix").write_text(changed)
    rig.push(conf)
    rig.wait_in_sync("edge")
    host = rig.host("edge")
    assert f"ExecStart={new}" in host.exec("systemctl", "cat", "hello.service")
    assert host.exec("cat", "/etc/hello.conf") == conf
    return profile(rig)


def test_a_host_that_is_not_nixos_lives_through_a_day(rig: Rig) -> None:
    host = rig.host("edge")
    rig.push("A host")
    (before,) = rig.json("plan", status=None)
    kinds = {one["kind"] for one in before["drifts"]}
    assert kinds == {"system", "unit-missing", "key-missing"}
    rig.run_daemon()
    rig.wait_in_sync("edge")
    first = profile(rig)
    assert host.resolve("/nix/var/nix/gcroots/system-manager-current") == first
    assert host.exec("cat", "/run/keys/note") == "a secret"

    host.exec("systemctl", "stop", "hello.service")
    wait_until(lambda: host.is_active("hello.service"), DEADLINE, "it to be healed")

    second = bring(rig, "/bin/sleep 1000", "/bin/sleep 1001", conf="second")
    assert second != first

    # Its activation ends well: units are what counts.
    rig.edit("edge.nix", "/bin/sleep 1001", "/bin/false")
    bad = rig.push("A service that fails")
    wait_until(lambda: ended(rig, bad), DEADLINE, "the attempt to end")
    assert last_ended(rig, "edge").outcome is Outcome.ROLLED_BACK
    assert profile(rig) == second
    assert host.is_active("hello.service")

    rig.run("rollback", "edge", "--reason", "a test")
    assert profile(rig) == first
    assert host.exec("cat", "/etc/hello.conf") == "first"
    rig.run("diff", "edge", f"running..{second}")


def ended(rig: Rig, commit: str) -> bool:
    """Return whether an attempt at a commit has ended."""
    found = [one for one in attempts(rig, "edge") if one.outcome is not None]
    return any(one.commit == commit for one in found)


@pytest.mark.matrix
def test_a_first_system_that_fails_leaves_nothing_behind(rig: Rig) -> None:
    """Going back is to take all of it away."""
    host = rig.host("edge")
    rig.edit("edge.nix", "/bin/sleep 1000", "/bin/false")
    rig.run_daemon()

    bad = rig.push("A service that fails")

    wait_until(lambda: ended(rig, bad), DEADLINE, "the attempt to end")
    assert last_ended(rig, "edge").outcome is Outcome.ROLLED_BACK
    listed = host.exec("find", "/etc", "-name", "hello*")
    assert listed == ""
    assert host.exec_status("test", "-L", PROFILE) != 0


@pytest.mark.matrix
def test_nix_is_where_its_installer_puts_it_and_root_does_not_log_in(
    fleet: FleetFactory, tmp_path: Path
) -> None:
    content = content_in(tmp_path)
    hosts = fleet("edge", options=[*PLAIN, "--user", "deploy"])
    with Rig(tmp_path, hosts, content=content) as rig:
        url = str(rig.repository.bare)
        rig.write_settings(repository={"url": url}, nix={"options": NIX_OPTIONS})
        rig.host("edge").exec(
            "sh",
            "-ec",
            "mkdir -p /opt/nix/bin; mv /usr/bin/nix* /opt/nix/bin;"
            " ln -s /opt/nix /nix/var/nix/profiles/default",
        )
        rig.run_daemon()
        rig.push("A host")
        rig.wait_in_sync("edge")
        assert rig.host("edge").is_active("hello.service")
        rig.run("check")


@pytest.mark.matrix
def test_a_switch_by_its_own_tool_is_compared_and_put_right(rig: Rig) -> None:
    host = rig.host("edge")
    rig.run_daemon()
    rig.push("A host")
    rig.wait_in_sync("edge")
    first = profile(rig)
    second = bring(rig, "/bin/sleep 1000", "/bin/sleep 1001", conf="second")

    # What `system-manager switch` does once a system is there, in its order.
    for script in ("register-profile", "activate"):
        host.exec(f"{first}/bin/{script}")

    def put_right() -> bool:
        conf = host.exec("cat", "/etc/hello.conf")
        return (profile(rig), conf) == (second, "second")

    wait_until(put_right, DEADLINE, "it to be put right")
    rig.wait_in_sync("edge")
