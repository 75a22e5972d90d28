"""
Pull mode: a host that deploys itself, without SSH, from a repository elsewhere.

The first system is brought there by the command, as `nixos-rebuild switch` would; from
then on by the service that it has in it.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import installed
from tests.support.fleet import FleetFactory
from tests.support.program import Program
from tests.support.reports import read_paths
from tests.support.rig import DEADLINE, EXAMPLE, QUICK, ROOT, Repository
from tests.support.wait import patience, wait_until

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        installed.PYTHON not in installed.DEBIAN,
        reason="no release of Debian brings the Python that runs the tests",
    ),
]

OWN, FORGE = "chrysalis", "lufta"
UNIT = "reconciler.service"
BOT = "withinbot.service"
PROGRAM = f"/{installed.PREFIX}/bin/reconciler"
SETTINGS = {
    "repository": {
        "url": f"ssh://git.test/{installed.REPOSITORY}",
        "poll": "1s",
        "secrets": {"common/services/secrets": f"/{installed.STATE}/secrets"},
    },
    "nix": {"path": ["nixpkgs=/srv/nixpkgs"]},
    "policy": {**QUICK, "confirm_timeout": "60s", "interval": "1h", "adopt": "ask"},
}
# Hosts of a fleet share the machine's network: what a commit can take away is the way.
CUT = """environment.etc."ssh/ssh_config.d/way.conf".text = ''
  Host git.test
    ProxyCommand /bin/false
'';"""


# What the command tells as well; it would take the time that the daemon needs.
ENDED = """
import sqlite3, sys
file = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
ended = "select count(*) from attempts where commit_id = ? and outcome is not null"
print(file.execute(ended, sys.argv[2:]).fetchone()[0])
"""


class Site:
    """A host that deploys itself, another one with its repository, and a clone."""

    def __init__(self, folder: Path, start: FleetFactory) -> None:
        self.fleet = start(OWN, debian=installed.DEBIAN[installed.PYTHON])
        self.fleet.up(FORGE, options=["--debian", "13"])
        self.own, self.forge = self.fleet[OWN], self.fleet[FORGE]
        # Which is the host's own: all hosts share the machine's network.
        self.settings = {**SETTINGS, "http": {"listen": f"{self.own.address}:9876"}}
        self.repository = Repository(folder, EXAMPLE)
        url = f"ssh://{FORGE}{self.url_path}"
        self.repository.push_to(url, self.fleet.path / "ssh_config")
        self.forge.exec("git", "init", "-qb", "main", "--bare", self.url_path)
        installed.install(self.own, installed.build_wheel(folder))
        self._give_keys()
        shutil.copytree(ROOT / "deploy" / "nixos", self.repository.work / "reconciler")
        file = f"hosts/{OWN}/configuration.nix"
        self.repository.edit(file, "../../common\n", "../../common ./reconciler.nix\n")
        self.say()

    @property
    def url_path(self) -> str:
        """Where the repository is on its host."""
        return f"/{installed.REPOSITORY}"

    def _give_keys(self) -> None:
        """Give the host what it needs to reach the repository, and not itself."""
        known = (self.fleet.path / "known_hosts").read_text()
        lines = [line for line in known.splitlines() if self.forge.address in line]
        files = {
            "/root/.ssh/id_ed25519": (self.fleet.path / "id_ed25519").read_text(),
            "/root/.ssh/known_hosts": "\n".join([*lines, ""]),
            "/root/.ssh/config": f"Host git.test\n  HostName {self.forge.address}\n",
            f"/{installed.STATE}/secrets/withinbot.env": "WITHINBOT_TOKEN=first\n",
        }
        script = 'mkdir -p "$(dirname "$1")" && umask 077 && cat >"$1"'
        for path, text in files.items():
            self.own.exec("sh", "-c", script, "sh", path, stdin=text)
        # The service comes with the first system.
        units = f"/{installed.UNITS}"
        self.own.exec("rm", "-r", f"{units}/{UNIT}", "/usr/lib/sysusers.d")
        self.own.exec("chown", "-R", "root:", f"/{installed.STATE}")
        self.own.exec("systemctl", "daemon-reload")

    def say(self, nix: str = "") -> None:
        """Write the reconciler's part of the host's configuration, and *nix*."""
        module = f"""
          {{ pkgs, lib, ... }}: {{
            imports = [ ../../reconciler/module.nix ];
            services.reconciler = {{
              pull.enable = true;
              # There is no Python with libraries in the stand-in for nixpkgs.
              package = pkgs.writeShellScriptBin "reconciler" ''exec {PROGRAM} "$@"'';
              settings = builtins.fromJSON {json.dumps(json.dumps(self.settings))};
            }};
            {nix}
          }}
        """
        (self.repository.work / f"hosts/{OWN}/reconciler.nix").write_text(module)

    def run(self, *words: str) -> str:
        """Run a command of the reconciler; return what it printed."""
        return self.own.exec(PROGRAM, *words, deadline_s=120)

    def attempts(self) -> list[dict[str, Any]]:
        """Return the attempts, newest first."""
        found: list[dict[str, Any]] = json.loads(self.run("history", "--json"))
        return found

    def ended(self, commit: str) -> dict[str, Any]:
        """Wait until an attempt with *commit* has ended, and return it."""
        file = f"/{installed.STATE}/history.sqlite"

        def has_ended() -> bool:
            return self.own.exec("python3", "-c", ENDED, file, commit) != "0\n"

        wait_until(has_ended, 120, f"the end of an attempt with {commit}")
        of_commit = (one for one in self.attempts() if one["commit"] == commit)
        return next(one for one in of_commit if one["outcome"])

    def wait_in_sync(self) -> None:
        """Wait until the daemon says that the host is as the last push has it."""
        told = f"commit {self.repository.head[:8]}, 1 of 1 hosts in sync"
        wait_until(lambda: self.show("StatusText") == told, DEADLINE, told)

    def show(self, name: str) -> str:
        """Return what systemd says of a property of the unit."""
        return self.own.exec("systemctl", "show", "-p", name, "--value", UNIT).strip()


@pytest.fixture(scope="module")
def site(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Return a host that keeps itself in sync."""
    site = Site(tmp_path_factory.mktemp("site"), module_fleet)
    site.repository.push("A host that deploys itself")
    first = "/etc/reconciler.yaml"
    settings = {**site.settings, "hosts": {OWN: {"transport": "local"}}}
    settings["repository"] = {**SETTINGS["repository"], "entry": [OWN]}
    site.own.exec("sh", "-c", f"cat >{first}", stdin=json.dumps(settings))
    try:
        site.run("-c", first, "apply", OWN)
        site.wait_in_sync()
        yield site
    finally:
        last = ("journalctl", "-u", UNIT, "-n", "80", "--no-pager")
        sys.stderr.write(site.own.exec(*last))


def test_a_host_keeps_itself_without_ssh(site: Site) -> None:
    """Also when something stops: it rings as others do, with an hour between looks."""
    assert site.show("User") in ("", "root")
    assert site.own.is_active(BOT)
    (check,) = (
        one
        for one in json.loads(site.run("check", "--json"))
        if one["check"] == f"host {OWN}"
    )
    assert (check["ok"], check["told"]) == (
        True,
        "evaluates, answers at this machine, converged",
    )
    # Nothing that it could come to itself with.
    assert "127" not in site.run("hosts", "--json").partition("toplevel")[0]

    assert site.run("ssh", OWN, "--", "id -un") == "root\n"
    assert BOT.partition(".")[0] in site.run("logs", OWN, BOT)

    site.own.exec("systemctl", "stop", BOT)

    wait_until(lambda: site.own.is_active(BOT), DEADLINE, "the service that stopped")


@pytest.mark.matrix
def test_a_commit_that_cuts_the_network_goes_back_by_itself(site: Site) -> None:
    system = site.own.running_toplevel
    site.say(CUT)

    ended = site.ended(site.repository.push("Cut the way to the repository"))

    assert (ended["outcome"], ended["reason"]) == ("rolled_back", "unconfirmed")
    assert "was cut off by the switch" in ended["message"]
    # It may have been the network, so that it is tried again, and never kept.
    assert site.own.resolve("/nix/var/nix/profiles/system") == system
    wait_until(
        lambda: site.own.running_toplevel == system, DEADLINE, "the former system"
    )


@pytest.mark.matrix
def test_a_commit_that_breaks_a_service_goes_back_by_itself(site: Site) -> None:
    system = site.own.running_toplevel
    site.say('systemd.services.withinbot.serviceConfig.ExecStart = lib.mkForce "/x";')

    ended = site.ended(site.repository.push("Break a service"))

    assert (ended["outcome"], ended["reason"]) == ("rolled_back", "unhealthy")
    assert BOT in ended["message"]
    assert site.own.running_toplevel == system


@pytest.mark.matrix
def test_a_daemon_that_slept_goes_to_the_newest_commit_alone(site: Site) -> None:
    pid = site.show("MainPID")
    site.own.exec("kill", "-STOP", pid)
    asleep = []
    for number in range(3):
        site.say(f'environment.etc."number".text = "{number}";')
        asleep.append(site.repository.push(f"Number {number}"))

    site.own.exec("kill", "-CONT", pid)

    site.wait_in_sync()
    assert site.own.exec("cat", "/etc/number") == "2"
    commits = {one["commit"] for one in site.attempts()}
    assert commits & set(asleep) == {asleep[-1]}


KILL = """
journalctl --follow --lines=0 --output=cat --unit="$1" | while read -r line; do
  case $line in
    *"\\"step\\": \\"$2\\", \\"event\\": \\"step begins\\""*)
      systemctl kill --signal=KILL "$1"
      exit ;;
  esac
done
"""


@pytest.mark.matrix
@pytest.mark.parametrize(
    "step",
    ["build", "copy", "activate", "settle", "read the repository", "confirm", "verify"],
)
def test_a_daemon_that_is_killed_is_followed_by_the_next(site: Site, step: str) -> None:
    site.wait_in_sync()
    site.say(f'environment.etc."killed".text = "{step}";')
    argv = site.own.exec_argv("sh", "-c", KILL, "sh", UNIT, step)
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as kill:
        # Not before it listens.
        follows = ("pgrep", "--full", "journalctl --follow")
        wait_until(
            lambda: site.own.exec_status(*follows) == 0, DEADLINE, "journalctl to run"
        )
        commit = site.repository.push(f"Be killed at {step}")
        assert kill.wait(patience(DEADLINE)) == 0

    site.wait_in_sync()

    assert site.own.exec("cat", "/etc/killed") == step
    made = [one for one in site.attempts() if one["commit"] == commit]
    assert all(one["ended_at"] for one in made)
    assert [one["outcome"] for one in made].count("succeeded") == 1
    assert {one["outcome"] for one in made} <= {"succeeded", "interrupted"}


def test_a_commit_that_changes_the_daemon_is_confirmed_by_the_new_one(
    site: Site,
) -> None:
    before = site.show("InvocationID")
    site.say('systemd.services.reconciler.environment.CHANGED = lib.mkForce "1";')

    commit = site.repository.push("Change the reconciler's own unit")

    ended = site.ended(commit)
    assert ended["outcome"] == "succeeded"
    site.wait_in_sync()
    assert "CHANGED=1" in site.show("Environment")
    assert site.show("InvocationID") != before
    assert "follow" in {step["name"] for step in ended["steps"]}


@pytest.mark.matrix
def test_a_central_reconciler_is_told_of_what_it_deploys(
    site: Site, tmp_path: Path
) -> None:
    """With the key of its own SSH server, by the daemon that the commit restarts."""
    key = "/etc/ssh/ssh_host_ed25519_key"
    public = site.own.exec("cat", f"{key}.pub").strip()
    hosts = {OWN: {"transport": "pull", "host_keys": public}}
    with Program(tmp_path) as central:
        read_paths(central, [OWN], hosts=hosts)
        central.start()
        report = {"url": central.address, "interval": "10s"}
        site.settings = {**site.settings, "report": report}
        site.say()
        commit = site.repository.push("Report to a central reconciler")
        assert site.ended(commit)["outcome"] == "succeeded"

        def told() -> bool:
            (status,) = (
                one
                for one in json.loads(central.run("status", "--json").stdout)
                if one["host"] == OWN
            )
            return bool(status["in_sync"] and status["commit"] == commit)

        wait_until(told, DEADLINE, "the central reconciler to be told")
        events = json.loads(central.run("events", "--json").stdout)
        texts = [one["text"] for one in events if one["kind"] == "reported"]
        assert f"deploy {commit[:8]}: succeeded" in texts
        series = f'reconciler_host_in_sync{{host="{OWN}"}}'
        wait_until(lambda: central.metric(series) == 1, DEADLINE, series)
