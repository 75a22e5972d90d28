"""
The reconciler as a service of a host: under systemd, hardened, on the fleet it deploys.

It is installed from the wheel, as docs/install.md has it for systems other than NixOS,
and then taken over by the NixOS module: a commit that it deploys to its own host.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import installed
from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, EXAMPLE, QUICK, ROOT, Repository
from tests.support.wait import wait_until

pytestmark = [
    pytest.mark.skipif(
        installed.PYTHON not in installed.DEBIAN,
        reason="no release of Debian brings the Python that runs the tests",
    ),
]

OWN, OTHER = "chrysalis", "lufta"
UNIT = "reconciler.service"
BOT, FACTS = "withinbot.service", "printerfacts.service"
CREDENTIAL = "/run/credentials/reconciler.service/id_ed25519"
PROGRAM = f"/{installed.PREFIX}/bin/reconciler"


class Site:
    """A host with the reconciler on it, another host, and a clone to push from."""

    def __init__(self, folder: Path, start: FleetFactory) -> None:
        self.fleet = start(OWN, debian=installed.DEBIAN[installed.PYTHON])
        self.fleet.up(OTHER, options=["--debian", "13"])
        self.own, self.other = self.fleet[OWN], self.fleet[OTHER]
        self.repository = Repository(folder, EXAMPLE)
        url = f"ssh://{OWN}/{installed.REPOSITORY}"
        self.repository.push_to(url, self.fleet.path / "ssh_config")
        self.settings: dict[str, Any] = {
            "repository": {
                "url": f"/{installed.REPOSITORY}",
                "secrets": {"common/services/secrets": f"/{installed.STATE}/secrets"},
            },
            "nix": {"path": ["nixpkgs=/srv/nixpkgs"]},
            "ssh": {"identity": CREDENTIAL},
            "hosts": {host.name: {"address": host.address} for host in self.fleet},
            "policy": dict(QUICK),
        }
        installed.install(self.own, installed.build_wheel(folder))
        installed.configure(self.own, self.fleet, self.settings)

    def run(self, *words: str) -> str:
        """Run a command of the reconciler as its user; return what it printed."""
        return self.own.exec("runuser", "-u", "reconciler", "--", PROGRAM, *words)

    def wait_in_sync(self, deadline_s: float = DEADLINE) -> None:
        """Wait until the daemon says that both hosts are as the last push has them."""
        told = f"commit {self.repository.head[:8]}, 2 of 2 hosts in sync"
        wait_until(lambda: self.show("StatusText") == told, deadline_s, told)

    def show(self, name: str) -> str:
        """Return what systemd says of a property of the unit."""
        return self.own.exec("systemctl", "show", "-p", name, "--value", UNIT).strip()

    def journal(self) -> str:
        """Return what the service said since its last start."""
        invocation = f"_SYSTEMD_INVOCATION_ID={self.show('InvocationID')}"
        return self.own.exec("journalctl", "-o", "cat", "--no-pager", invocation)

    def drop_in(self, name: str, text: str) -> None:
        """Change the unit, and start it anew."""
        path = f"/run/systemd/system/{UNIT}.d/{name}.conf"
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && systemctl daemon-reload'
        self.own.exec("sh", "-c", script, "sh", path, stdin=f"[Service]\n{text}\n")
        self.own.exec("systemctl", "restart", UNIT)


@pytest.fixture(scope="module")
def site(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Both hosts, deployed by the service on one of them."""
    site = Site(tmp_path_factory.mktemp("site"), module_fleet)
    try:
        site.own.exec("systemctl", "start", UNIT)
        site.repository.edit("network.nix", "keanu = {", "${null} = {")
        site.repository.push("The services of two hosts")
        site.wait_in_sync()
        yield site
    finally:
        last = ("journalctl", "-u", UNIT, "-n", "80", "--no-pager")
        sys.stderr.write(site.own.exec(*last))


def test_it_deploys_another_host_and_its_own(site: Site) -> None:
    assert site.other.is_active(BOT)
    assert site.own.is_active(BOT)
    assert site.own.is_active(FACTS)
    assert site.own.is_active(UNIT), "a unit that no commit knows is left alone"
    assert site.show("User") == "reconciler"
    pid = site.show("MainPID")
    status = site.own.exec("cat", f"/proc/{pid}/status")
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)


def test_systemd_knows_that_it_lives(site: Site) -> None:
    assert site.show("Type") == "notify"
    assert site.show("NotifyAccess") == "main"
    fed = site.show("WatchdogTimestampMonotonic")
    wait_until(
        lambda: site.show("WatchdogTimestampMonotonic") != fed,
        DEADLINE,
        "another sign of life",
    )


def test_it_is_hardened_as_far_as_the_documentation_says(site: Site) -> None:
    told = site.own.exec("systemd-analyze", "security", "--no-pager", UNIT)

    (exposure,) = re.findall(r"Overall exposure level for .*: ([\d.]+) ", told)
    documentation = (ROOT / "docs" / "install.md").read_text()
    assert f"`systemd-analyze security`: {exposure}" in documentation


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="there is no bubblewrap")
def test_evaluations_have_a_cage_below_all_that(site: Site) -> None:
    """A commit cannot read what the daemon can, and the next one is served."""
    assert "no cage" not in site.journal()
    file = f"hosts/{OTHER}/configuration.nix"
    database = f"/{installed.STATE}/history.sqlite"
    read = f'networking.hostName = builtins.readFile {database} + "'
    site.repository.edit(file, 'networking.hostName = "', read)
    site.repository.push("Read what is none of its business")
    told = f"the evaluation may not read {database}: nix.cage"
    wait_until(lambda: told in site.run("status", "--json"), DEADLINE, told)

    site.repository.edit(file, read, 'networking.hostName = "')
    site.repository.push("Read it no more")

    site.wait_in_sync()


def test_commands_work_as_the_documentation_says(site: Site) -> None:
    """As the daemon's user, who may read what systemd has given to the daemon."""
    told = json.loads(site.run("check", "--json"))

    assert [one["problem"] for one in told if not one["ok"]] == []
    assert {f"host {OWN}", f"host {OTHER}"} <= {one["check"] for one in told}


def test_nobody_else_reads_the_key(site: Site) -> None:
    assert site.own.exec("cat", CREDENTIAL).startswith("-----BEGIN")
    read = ["runuser", "-u", "nobody", "--", "cat"]
    assert site.own.exec_status(*read, CREDENTIAL) != 0
    assert site.own.exec_status(*read, f"/{installed.KEY}") != 0
    pid = site.show("MainPID")
    assert "BEGIN" not in site.own.exec("cat", f"/proc/{pid}/environ")


def test_it_may_not_write_elsewhere(site: Site) -> None:
    """In its own mount namespace, as its own user would."""
    pid = site.show("MainPID")
    touch = ["nsenter", f"--target={pid}", "--mount", "touch"]

    assert site.own.exec_status(*touch, f"/{installed.STATE}/here") == 0
    for place in ("/etc", "/nix/store", "/srv", "/usr"):
        assert site.own.exec_status(*touch, f"{place}/here") != 0
    assert site.own.exec_status(*touch, "/root/here") != 0, "ProtectHome"


@pytest.mark.matrix
def test_a_daemon_that_hangs_is_started_anew_by_the_watchdog(site: Site) -> None:
    site.drop_in("watchdog", "WatchdogSec=2s\nRestartSec=0\nTimeoutAbortSec=1s")
    pid, restarts = site.show("MainPID"), int(site.show("NRestarts"))

    site.own.exec("kill", "-STOP", pid)

    wait_until(
        lambda: int(site.show("NRestarts")) > restarts, DEADLINE, "the watchdog's deed"
    )
    site.wait_in_sync()
    assert site.show("MainPID") != pid


def test_it_stops_in_good_order_and_starts_by_serving(site: Site) -> None:
    site.own.exec("rm", "-f", f"/run/systemd/system/{UNIT}.d/watchdog.conf")
    site.own.exec("systemctl", "daemon-reload")
    site.own.exec("systemctl", "stop", UNIT)
    assert site.show("Result") == "success"
    assert site.show("ExecMainStatus") == "0"

    site.own.exec("systemctl", "start", UNIT)

    # At once: that is what READY=1 is for.
    ask = "import urllib.request as r; r.urlopen('http://127.0.0.1:9876/healthz')"
    site.own.exec("python3", "-c", ask)


@pytest.mark.parametrize(
    "file",
    [
        "flake.nix",
        *sorted(
            str(file.relative_to(ROOT))
            for file in (ROOT / "deploy/nixos").glob("*.nix")
        ),
    ],
)
def test_another_nix_reads_our_files_too(site: Site, file: str) -> None:
    """The machine's own is the oldest that we serve; that of Debian 13 is newer."""
    text = (ROOT / file).read_text()

    site.other.exec("nix-instantiate", "--parse", "-", stdin=text)

    assert " 2.8" not in site.other.exec("nix-instantiate", "--version")


@pytest.mark.matrix  # in pull mode each host does
def test_it_deploys_the_system_that_it_is_part_of(site: Site) -> None:
    """
    The NixOS module takes over: the switch ends the daemon that carries it out.

    The guardian on the host lives on, and the daemon that the switch started follows
    the attempt to its end: nothing is rolled back, nothing made twice.
    """
    shutil.copytree(ROOT / "deploy" / "nixos", site.repository.work / "reconciler")
    own = site.repository.work / f"hosts/{OWN}"
    (own / "reconciler.nix").write_text(own_module(site))
    site.repository.edit(
        f"hosts/{OWN}/configuration.nix",
        "../../common",
        "../../common ./reconciler.nix",
    )
    # What nobody may remove but who put it there.
    site.own.exec(
        "rm", "-r", f"/{installed.UNITS}/{UNIT}.d", f"/{installed.UNITS}/{UNIT}"
    )
    before = site.show("InvocationID")

    site.repository.push("The reconciler is a service as all others are")

    site.wait_in_sync(120)
    assert site.show("InvocationID") != before
    fragment = site.own.exec("readlink", "-f", site.show("FragmentPath"))
    assert fragment.startswith("/nix/store/")
    assert site.own.exec("systemd-analyze", "security", "--threshold=23", UNIT)

    attempts = json.loads(site.run("history", OWN, "--json"))
    # The guardian lived on, and the daemon that the switch started confirmed to it.
    assert {one["outcome"] for one in attempts} == {"succeeded"}


@pytest.mark.matrix
def test_a_changed_setting_of_its_own_host_reloads_it(site: Site) -> None:
    """It goes on with the very attempt that brings the setting."""
    before = site.show("InvocationID")
    file = f"hosts/{OWN}/reconciler.nix"
    site.repository.edit(file, 'policy.interval = "1s"', 'policy.interval = "2s"')

    site.repository.push("Look less often")

    site.wait_in_sync(120)
    assert site.show("InvocationID") == before
    events = json.loads(site.run("events", "--json"))
    reloaded = [one["text"] for one in events if one["kind"] == "settings-reloaded"]
    assert reloaded[:1] == ["applied: policy.interval"]


def own_module(site: Site) -> str:
    """Return the reconciler's part of its own host's configuration."""
    settings = json.dumps(json.dumps(site.settings))
    return f"""
      {{ pkgs, lib, ... }}: {{
        imports = [ ../../reconciler/module.nix ];
        services.reconciler = {{
          enable = true;
          # There is no Python with libraries in the stand-in for nixpkgs.
          package = pkgs.writeShellScriptBin "reconciler" ''exec {PROGRAM} "$@"'';
          credentials.id_ed25519 = "/{installed.KEY}";
          settings = lib.recursiveUpdate (builtins.fromJSON {settings}) {{
            policy.interval = "1s";
          }};
        }};
        # It would be given 90 s, and wait for its own attempt, which waits for it.
        systemd.services.reconciler.serviceConfig.TimeoutStopSec = lib.mkForce "3s";
      }}
    """
