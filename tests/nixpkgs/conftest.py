"""What the tests of the stand-in for nixpkgs share: Nix, and one host to switch."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.desired.messages import error_text
from tests.support.fleet import Fleet, Reaper, fleets
from tests.support.wait import patience

REPOSITORY = Path(__file__).resolve().parents[2]
NIXPKGS = REPOSITORY / "lab" / "nixpkgs"
HERE = Path(__file__).parent
DEADLINE = 100

# Nix as root, without a daemon and without a network.
NIX_CONFIG = "build-users-group =\nsandbox = false\nsubstitute = false\n"


class Nix:
    """The machine's own Nix, with the stand-in as `<nixpkgs>`."""

    def run(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command of Nix and return what it said, whatever its status."""
        environment = os.environ | {
            "NIX_CONFIG": NIX_CONFIG,
            "NIX_PATH": f"nixpkgs={NIXPKGS}",
        }
        return subprocess.run(
            argv,
            capture_output=True,
            text=True,
            check=False,
            timeout=patience(DEADLINE),
            env=environment | more,
        )

    def value(self, expression: str) -> object:
        """Return what *expression* evaluates to; fail the test if it does not."""
        done = self.run(
            "nix-instantiate", "--eval", "--strict", "--json", "-E", expression
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def error(self, expression: str) -> str:
        """
        Return the message with which *expression* fails, without the trace.

        Nix up to 2.18 says it first, later ones last: it is read as the product does.
        """
        done = self.run("nix-instantiate", "--eval", "--strict", "-E", expression)
        assert done.returncode != 0, f"no error, but {done.stdout}"
        lines = error_text(done.stderr).splitlines()
        return "\n".join(line.strip() for line in lines).strip()

    def build(self, expression: str) -> Path:
        """Return the store path of what *expression* builds."""
        done = self.run("nix-build", "--no-out-link", "-E", expression)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.strip())

    def config(self, module: str) -> str:
        """Return an expression for the configuration of one NixOS with *module*."""
        return (
            "(import <nixpkgs/nixos/lib/eval-config.nix> "
            f"{{ modules = [ ({module}) ]; }}).config"
        )


@pytest.fixture(scope="session")
def nix() -> Nix:
    if shutil.which("nix-instantiate") is None:
        pytest.skip("no Nix on this machine")
    return Nix()


class Host:
    """A host of a fleet, and systems to put on it."""

    name = "switched"

    def __init__(self, nix: Nix, fleet: Fleet, control: Path) -> None:
        self.nix = nix
        self.fleet = fleet
        # One connection for all commands: a login costs more than most of them.
        self.ssh_options = (
            *("-F", str(fleet.path / "ssh_config"), "-o", "ControlMaster=auto"),
            *("-o", f"ControlPath={control}", "-o", "ControlPersist=60"),
        )

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run *script* on the host as root; the status is the caller's to look at."""
        return self.nix.run("ssh", *self.ssh_options, self.name, script)

    def says(self, script: str) -> str:
        """Return what *script* prints on the host; it must not fail."""
        done = self.run(script)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def reboot(self) -> None:
        """Reboot; return when the host answers again."""
        self.close()
        self.fleet[self.name].reboot()

    def close(self) -> None:
        """End the connection."""
        self.nix.run("ssh", *self.ssh_options, "-O", "exit", self.name)

    def system(self, module: str) -> Path:
        """Build a system of *module* and copy it to the host, but do not switch."""
        name = f'{{ networking.hostName = "{self.name}"; }}'
        sshd = "{ services.openssh.enable = true; }"
        both = f"{{ imports = [ {name} {sshd} ({module}) ]; }}"
        toplevel = self.nix.build(f"{self.nix.config(both)}.system.build.toplevel")
        copied = self.nix.run(
            *("nix-copy-closure", "--to", self.name, str(toplevel)),
            NIX_SSHOPTS=" ".join(self.ssh_options),
        )
        assert copied.returncode == 0, copied.stderr
        return toplevel

    def switch(
        self, toplevel: Path, action: str = "test", before: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run the system's own switch-to-configuration on the host."""
        return self.run(f"{before} {toplevel}/bin/switch-to-configuration {action}")


@pytest.fixture(scope="session")
def reaper() -> Iterator[Reaper]:
    """Give the process that ends our fleets if we die."""
    reaper = Reaper()
    yield reaper
    reaper.close()


@pytest.fixture(scope="session")
def host(
    nix: Nix, reaper: Reaper, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    """Give a running host that the tests switch from one system to another."""
    if os.geteuid() != 0:
        pytest.skip("real hosts need root")
    folder = tmp_path_factory.mktemp("switch")
    with fleets(folder / "fleets", reaper) as start:
        first = str(HERE / "first.nix")
        fleet = start(Host.name, options=["--first-generation", first])
        host = Host(nix, fleet, folder / "control")
        yield host
        host.close()
