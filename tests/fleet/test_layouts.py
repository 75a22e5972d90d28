"""Repositories of other tools, deployed to a real host without a change to them."""

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.budget import tried
from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, NIX_OPTIONS, NIXPKGS, Rig
from tests.support.wait import wait_until

MODULE = """
{ pkgs, ... }: {
  services.openssh.enable = true;
  boot.loader.grub.device = "/dev/vda";
  fileSystems."/" = { device = "/dev/vda1"; fsType = "ext4"; };
  system.stateVersion = "24.11";
  systemd.services.hello = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig.ExecStart = "/bin/sleep 1000";
  };
}
"""

SYSTEM = """nixpkgs.lib.nixosSystem {
  system = "x86_64-linux";
  modules = [ ./lufta.nix { networking.hostName = "lufta"; } ];
}"""

FLAKE = f"nixosConfigurations.lufta = {SYSTEM};"

DEPLOY_RS = f"""
{FLAKE}
deploy.nodes.lufta = {{
  hostname = "is-overridden.example.org";
  sshUser = "root";
  profiles.system = {{
    user = "root";
    path.paths = [ self.nixosConfigurations.lufta.config.system.build.toplevel ];
  }};
}};
"""

COLMENA = """
colmena = {
  meta.nixpkgs = import nixpkgs { system = "x86_64-linux"; };
  lufta = { name, ... }: {
    imports = [ ./lufta.nix ];
    networking.hostName = name;
    deployment.keys.note.text = "a secret";
  };
};
"""

NIXOPS = """
nixopsConfigurations.default = {
  inherit nixpkgs;
  network.description = "one";
  lufta = {
    imports = [ ./lufta.nix ];
    deployment.keys.note.text = "a secret";
  };
};
"""

HIVE = f"""
{{
  meta.nixpkgs = {NIXPKGS};
  lufta = {{ name, ... }}: {{
    imports = [ ./lufta.nix ];
    networking.hostName = name;
    deployment.keys.note.text = "a secret";
  }};
}}
"""


def store(folder: Path) -> Mapping[str, object]:
    """Put the stand-in into the store as if it was fetched; return what locks it."""
    source = folder / "source"
    shutil.copytree(NIXPKGS, source, symlinks=True)
    options = [word for pair in NIX_OPTIONS.items() for word in ("--option", *pair)]
    add = ["nix-store", "--add", str(source), *options]
    subprocess.run(add, check=True, capture_output=True, timeout=100)
    hashed = subprocess.run(
        ["nix-hash", "--type", "sha256", str(source)],
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    digest = bytes.fromhex(hashed.stdout.strip())
    return {
        "type": "github",
        "owner": "NixOS",
        "repo": "nixpkgs",
        "rev": hashlib.sha1(digest, usedforsecurity=False).hexdigest(),
        "lastModified": 1_700_000_000,
        "narHash": f"sha256-{base64.b64encode(digest).decode()}",
    }


def write_flake(content: Path, outputs: str, locked: Mapping[str, object]) -> None:
    (content / "flake.nix").write_text(
        "{\n"
        '  inputs.nixpkgs.url = "github:NixOS/nixpkgs/x";\n'
        f"  outputs = {{ self, nixpkgs }}: {{ {outputs} }};\n"
        "}\n"
    )
    original = {"type": "github", "owner": "NixOS", "repo": "nixpkgs", "ref": "x"}
    nodes = {
        "nixpkgs": {"locked": locked, "original": original},
        "root": {"inputs": {"nixpkgs": "nixpkgs"}},
    }
    lock = {"nodes": nodes, "root": "root", "version": 7}
    (content / "flake.lock").write_text(json.dumps(lock))


def as_ci_does(content: Path) -> None:
    """Build the host, and write where its system is, where the layout is `paths`."""
    if not (content / "paths.json").exists():
        return
    modules = f'[ {content}/lufta.nix {{ networking.hostName = "lufta"; }} ]'
    expression = f"""
    (import {NIXPKGS}/nixos/lib/eval-config.nix {{
      system = "x86_64-linux";
      modules = {modules};
    }}).config.system.build.toplevel
    """
    options = [word for pair in NIX_OPTIONS.items() for word in ("--option", *pair)]
    done = subprocess.run(
        ["nix-build", "--no-out-link", *options, "--expr", expression],
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    (content / "paths.json").write_text(json.dumps({"lufta": done.stdout.strip()}))


LAYOUTS = ("flake", "deploy-rs", "colmena", "nixops", "hive", "paths")


@pytest.mark.parametrize("layout", tried("deploy-rs", among=LAYOUTS))
def test_a_repository_is_deployed_healed_changed_and_taken_back(
    fleet: FleetFactory, tmp_path: Path, layout: str
) -> None:
    content = tmp_path / "content"
    content.mkdir()
    (content / "lufta.nix").write_text(dedent(MODULE))
    outputs = {
        "flake": FLAKE,
        "deploy-rs": DEPLOY_RS,
        "colmena": COLMENA,
        "nixops": NIXOPS,
    }
    if layout in outputs:
        write_flake(content, outputs[layout], store(tmp_path))
    elif layout == "paths":
        (content / "paths.json").touch()
    else:
        (content / "hive.nix").write_text(HIVE)
    with Rig(tmp_path, fleet("lufta"), content=content) as rig:
        rig.write_settings(
            repository={
                "url": str(rig.repository.bare),
                "layout": "paths" if layout == "paths" else "auto",
            },
            nix={"options": NIX_OPTIONS},
        )
        rig.run_daemon()
        as_ci_does(rig.repository.work)
        rig.push("A host")
        rig.wait_in_sync("lufta")
        (listed,) = rig.json("hosts")
        assert (listed["host"], listed["address_from"]) == ("lufta", "settings")
        if layout in {"colmena", "hive", "nixops"}:
            assert rig.host("lufta").exec("cat", "/run/keys/note") == "a secret"
        live_through_a_day(rig)


def live_through_a_day(rig: Rig) -> None:
    """Stop a service, push a change, take it back; nothing is left to do then."""
    host = rig.host("lufta")
    assert host.is_active("hello.service")
    host.exec("systemctl", "stop", "hello.service")
    wait_until(lambda: host.is_active("hello.service"), DEADLINE, "it to be healed")

    rig.edit("lufta.nix", "sleep 1000", "sleep 1001")
    as_ci_does(rig.repository.work)
    second = rig.push("Longer")
    rig.wait_in_sync("lufta")
    assert "sleep 1001" in host.exec("systemctl", "cat", "hello.service")

    rig.repository.git("revert", "--no-edit", second)
    rig.push("Back")
    rig.wait_in_sync("lufta")
    assert "sleep 1000" in host.exec("systemctl", "cat", "hello.service")
    rig.run("plan", status=0)
    assert rig.repository.git("status", "--porcelain") == ""
