"""A host that is not NixOS, with what system-manager makes for it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fleet.test_layouts import store, write_flake
from tests.support.fleet import FleetFactory
from tests.support.rig import NIX_OPTIONS, Rig

STAND_IN = Path(__file__).parents[1] / "support/system_manager"
PLAIN = ["--first-generation", str(STAND_IN / "plain-host.nix")]

MODULE = """
{
  nixpkgs.hostPlatform = "x86_64-linux";
  systemd.services.hello = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig.ExecStart = "/bin/sleep 1000";
  };
  environment.etc."hello.conf".text = "first";
}
"""

OUTPUTS = """
systemConfigs.edge =
  let manager = import ./system-manager { inherit nixpkgs; };
  in manager.lib.makeSystemConfig { modules = [ ./edge.nix ]; };
"""


@pytest.fixture
def rig(fleet: FleetFactory, tmp_path: Path) -> Rig:
    content = tmp_path / "content"
    shutil.copytree(STAND_IN, content / "system-manager")
    (content / "edge.nix").write_text(MODULE)
    write_flake(content, OUTPUTS, store(tmp_path))
    made = Rig(tmp_path, fleet("edge", options=PLAIN), content=content)
    url = str(made.repository.bare)
    made.write_settings(repository={"url": url}, nix={"options": NIX_OPTIONS})
    return made


def switch_by_hand(rig: Rig, derivation: str) -> None:
    """Do what `system-manager switch --target-host edge` does, in its order."""
    options = [word for pair in NIX_OPTIONS.items() for word in ("--option", *pair)]
    argv = ["nix-store", "--realise", derivation, *options]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=100)
    toplevel = done.stdout.strip()
    environment = {**os.environ, "NIX_SSHOPTS": f"-F {rig.fleet.path}/ssh_config"}
    copy = ["nix-copy-closure", "--to", "root@edge", toplevel]
    subprocess.run(copy, check=True, capture_output=True, timeout=100, env=environment)
    for script in ("register-profile", "activate"):
        rig.host("edge").exec(f"{toplevel}/bin/{script}")


def test_a_host_is_compared_with_what_its_own_tool_activated(rig: Rig) -> None:
    rig.push("A host")
    with rig:
        (before,) = rig.json("plan", status=None)
        assert before["verdict"] == "reported"
        assert [one["kind"] for one in before["drifts"]] == [
            "system",
            *["unit-missing"] * 3,
        ]

        switch_by_hand(rig, before["derivation"])

        (after,) = rig.json("plan")
        assert after["in_sync"]
        rig.host("edge").exec("systemctl", "stop", "hello.service")
        (stopped,) = rig.json("plan", status=None)
        (drift,) = stopped["drifts"]
        assert (drift["kind"], drift["subject"]) == ("unit-stopped", "hello.service")
