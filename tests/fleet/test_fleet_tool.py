"""The tool that starts hosts: what it promises, and that it leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.support.fleet import (
    FLEET_TOOL,
    Fleet,
    FleetFactory,
    FleetHost,
    ToolError,
    run_tool,
)
from tests.support.traces import Traces
from tests.support.wait import wait_until

ROOT = Path(__file__).parents[2]
DYING_TEST = """
import pathlib, sys
from tests.support.fleet import Reaper, fleets
with fleets(pathlib.Path(sys.argv[1]), Reaper()) as start:
    start("lufta")
    print("up", flush=True)
    sys.stdin.read()
"""
SILENCE = 0.5  # seconds; sshd greets within milliseconds


@pytest.fixture(scope="module")
def pair(module_fleet: FleetFactory) -> Fleet:
    return module_fleet("chrysalis", "keanu")


@pytest.fixture(scope="module")
def chrysalis(pair: Fleet) -> FleetHost:
    return pair["chrysalis"]


def test_up_ends_when_every_host_answers_with_its_own_key(pair: Fleet) -> None:
    assert [host.ssh("hostname").strip() for host in pair] == ["chrysalis", "keanu"]


def test_hosts_are_told_apart_by_key_and_machine_id(pair: Fleet) -> None:
    files = ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key")

    for file in files:
        assert len({host.exec("cat", file) for host in pair}) == 2


def test_the_settings_say_where_the_hosts_are(pair: Fleet) -> None:
    settings = yaml.safe_load(pair.settings.read_text())

    assert settings["ssh"]["identity"] == str(pair.path / "id_ed25519")
    assert settings["ssh"]["known_hosts"] == str(pair.path / "known_hosts")
    assert settings["hosts"] == {
        host.name: {"address": host.address, "port": 22, "user": "root"}
        for host in pair
    }


def test_hosts_know_each_other_by_name(pair: Fleet) -> None:
    chrysalis, keanu = pair

    assert chrysalis.exec("getent", "hosts", "keanu").split()[0] == keanu.address
    assert keanu.exec("getent", "hosts", "chrysalis").split()[0] == chrysalis.address


def test_a_new_host_runs_its_first_generation(chrysalis: FleetHost) -> None:
    links = (
        "/run/current-system",
        "/run/booted-system",
        "/nix/var/nix/profiles/system",
        "/boot/default",
    )
    toplevels = chrysalis.exec("readlink", "-f", *links).split()
    profile = chrysalis.exec("readlink", links[2]).strip()

    assert len(toplevels) == len(links)
    assert len(set(toplevels)) == 1
    assert re.fullmatch(r"/nix/store/\w{32}-nixos-system-chrysalis-.*", toplevels[0])
    assert profile == "system-1-link"


def test_the_store_of_a_new_host_is_whole(chrysalis: FleetHost) -> None:
    chrysalis.exec("nix-store", "--verify", "--check-contents")
    roots = chrysalis.exec("nix-store", "--query", "--roots", "/run/current-system")

    assert "/nix/var/nix/profiles/system-1-link" in roots


def test_exec_passes_arguments_input_and_status_on(chrysalis: FleetHost) -> None:
    shell = ("sh", "-c", 'printf "%s|" "$@"; cat', "sh")

    words = (*shell, "a b", "--dir", "*")
    tool = ("exec", "chrysalis", "--dir", str(chrysalis.fleet.path), "--")

    assert run_tool(*tool, *words, stdin="in") == "a b|--dir|*|in"
    assert chrysalis.exec(*words, stdin="in") == "a b|--dir|*|in"
    with pytest.raises(ToolError, match="status 37:"):
        run_tool(*tool, "sh", "-c", "exit 37")
    assert chrysalis.exec_status("sh", "-c", "exit 37") == 37


def test_a_reboot_is_a_new_boot(chrysalis: FleetHost) -> None:
    before = chrysalis.boot_id
    chrysalis.exec("touch", "/run/gone", "/var/stays")

    chrysalis.reboot()

    assert chrysalis.boot_id != before
    assert chrysalis.exec_status("test", "-e", "/run/gone") == 1
    assert chrysalis.exec_status("test", "-e", "/var/stays") == 0


def test_a_frozen_host_accepts_tcp_and_says_nothing(chrysalis: FleetHost) -> None:
    chrysalis.freeze()

    assert chrysalis.state == "frozen"
    assert _greeting(chrysalis) == b""
    with pytest.raises(ToolError, match="is frozen"):
        chrysalis.exec("true")
    with pytest.raises(ToolError, match="is frozen: `fleet thaw chrysalis` first"):
        run_tool("exec", "chrysalis", "--dir", str(chrysalis.fleet.path), "--", "true")

    chrysalis.thaw()

    assert chrysalis.state == "running"
    wait_until(lambda: _greeting(chrysalis) == b"SSH-", 10, "its greeting")


@pytest.mark.matrix
def test_a_killed_host_is_dark_and_starts_from_its_disk(pair: Fleet) -> None:
    keanu = pair["keanu"]
    before = keanu.boot_id
    keanu.exec("sh", "-c", "echo kept >/var/kept; sync; touch /run/gone")

    keanu.kill()

    assert keanu.state == "off"
    with pytest.raises(ConnectionRefusedError):
        _greeting(keanu)
    with pytest.raises(ToolError, match="is off"):
        keanu.exec("true")
    assert pair["chrysalis"].state == "running"

    keanu.start()

    assert keanu.boot_id != before
    assert keanu.exec("cat", "/var/kept") == "kept\n"
    assert keanu.exec_status("test", "-e", "/run/gone") == 1


def test_a_host_that_switches_itself_off_stays_off(pair: Fleet) -> None:
    keanu = pair["keanu"]

    keanu.exec_status("systemctl", "poweroff")
    wait_until(lambda: keanu.state == "off", 30, "the host to be off")
    keanu.start()

    assert keanu.state == "running"


@pytest.mark.matrix
def test_hosts_join_and_leave_a_running_fleet(pair: Fleet) -> None:
    pair.up("lufta")
    address = pair["lufta"].address

    assert pair["chrysalis"].exec("getent", "hosts", "lufta").split()[0] == address
    assert pair["lufta"].ssh("hostname").strip() == "lufta"

    pair.down("lufta")

    assert [row["name"] for row in pair.list()] == ["chrysalis", "keanu"]
    assert pair["chrysalis"].exec_status("getent", "hosts", "lufta") != 0
    assert "lufta" not in pair.settings.read_text()


@pytest.mark.matrix
def test_fleets_started_at_once_do_not_collide(fleet: FleetFactory) -> None:
    first, second = fleet(), fleet()
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: one.up("twin"), (first, second)))

    assert first["twin"].address != second["twin"].address

    first.down()

    assert second["twin"].ssh("hostname").strip() == "twin"


def test_debian_13_with_a_user_who_must_become_root(fleet: FleetFactory) -> None:
    host = fleet("lufta", debian=13, options=["--user", "alice"])["lufta"]
    ways = "id -un; sudo -n id -un; doas -n id -un; run0 id -un"

    assert host.ssh(ways).split() == ["alice", "root", "root", "root"]
    host.reboot()  # which activates once more
    assert host.ssh(ways).split() == ["alice", "root", "root", "root"]
    assert host.exec("cat", "/etc/debian_version").startswith("13.")
    assert host.exec_status("test", "-e", "/root/.ssh/authorized_keys") == 1


def test_a_small_nix_disk_fills_up_alone(fleet: FleetFactory) -> None:
    host = fleet("lufta", options=["--nix-size", "64M"])["lufta"]

    with pytest.raises(ToolError, match="No space left"):
        host.exec("dd", "if=/dev/zero", "of=/nix/fill", "bs=1M", "count=100")

    host.exec("dd", "if=/dev/zero", "of=/var/fill", "bs=1M", "count=100")
    host.kill()
    host.start()
    assert host.exec_status("test", "-s", "/nix/fill") == 0


def test_down_leaves_nothing(fleet: FleetFactory) -> None:
    one = fleet("lufta", "twin", options=["--nix-size", "64M"])
    one["twin"].freeze()
    traces = Traces.of(one)
    assert traces.processes
    assert len(traces.leftovers()) > len(traces.processes)

    one.down()

    assert not one.path.exists()
    traces.wait_until_gone()


@pytest.mark.matrix
def test_down_clears_up_after_a_killed_supervisor(fleet: FleetFactory) -> None:
    one = fleet("lufta")
    traces = Traces.of(one)
    os.kill(traces.supervisor(), signal.SIGKILL)

    one.down()

    traces.wait_until_gone()


@pytest.mark.matrix
@pytest.mark.parametrize("stage", ["fleet.json", "hosts/twin/console.log"])
def test_down_clears_up_after_a_killed_up(fleet: FleetFactory, stage: str) -> None:
    one = fleet()
    argv = [str(FLEET_TOOL), "up", "lufta", "twin", "--dir", str(one.path)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as tool:
        wait_until((one.path / stage).exists, 60, stage)
        tool.kill()
    traces = Traces.of(one)

    one.down()

    assert not one.path.exists()
    traces.wait_until_gone()


@pytest.mark.matrix
def test_up_goes_on_where_a_killed_up_stopped(fleet: FleetFactory) -> None:
    one = fleet()
    argv = [str(FLEET_TOOL), "up", "lufta", "--dir", str(one.path)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as tool:
        wait_until((one.path / "fleet.json").exists, 60, "the state file")
        tool.kill()

    if one.list():
        run_tool("start", "lufta", "--dir", str(one.path))
    else:
        one.up("lufta")
    one.refresh()

    assert one["lufta"].ssh("hostname").strip() == "lufta"


def test_down_of_a_fleet_whose_folder_was_deleted(fleet: FleetFactory) -> None:
    one = fleet("lufta")
    traces = Traces.of(one)
    subprocess.run(["rm", "-rf", str(one.path)], check=True)

    one.down()

    traces.wait_until_gone()


@pytest.mark.matrix
def test_prune_ends_a_fleet_whose_folder_was_deleted(fleet: FleetFactory) -> None:
    lost, kept = fleet("lufta"), fleet("lufta")
    traces = Traces.of(lost)
    subprocess.run(["rm", "-rf", str(lost.path)], check=True)

    run_tool("prune")

    traces.wait_until_gone()
    assert kept["lufta"].state == "running"


def test_fleets_end_with_a_killed_test_process(tmp_path: Path) -> None:
    """The promise of ``tests/support/fleet.py``, which all other tests lean on."""
    argv = [sys.executable, "-c", DYING_TEST, str(tmp_path)]
    with _piped(argv) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        traces = Traces.of(Fleet(path=tmp_path / "0"))
        process.kill()

    traces.wait_until_gone()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "not_a_name"], "'not_a_name' is no host name"),
        (["up", "x" * 64], "is no host name"),
        (["up", "lufta", "--user", "a:b"], "--user 'a:b' is no user name"),
        (["up", "lufta", "--nix-size", "big"], "--nix-size big: expected a size"),
        (["up", "lufta", "--address-base", "10.0.0"], "expected 127.A.B"),
        (["up", "lufta", "--nixpkgs", "/nowhere"], "/nowhere: no such folder"),
        (["exec", "lufta"], "what to run?"),
        (["reboot", "lufta"], "no fleet in"),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(ToolError, match=re.escape(message)):
        run_tool(*arguments, "--dir", str(tmp_path / "none"))

    assert not (tmp_path / "none").exists()


def test_names_in_use_and_unknown_names_are_refused(pair: Fleet) -> None:
    with pytest.raises(ToolError, match="chrysalis is in this fleet already"):
        pair.up("chrysalis")
    with pytest.raises(ToolError, match=r"no host 'nobody' in .*: chrysalis, keanu"):
        run_tool("freeze", "nobody", "--dir", str(pair.path))
    base = pair["chrysalis"].address.rpartition(".")[0]
    options = ["--dir", str(pair.path / "other"), "--address-base", base]
    with pytest.raises(ToolError, match="is in use"):
        run_tool("up", "lufta", *options)
    assert not (pair.path / "other").exists()


@pytest.mark.matrix
def test_a_damaged_state_is_said_and_cleared_away(fleet: FleetFactory) -> None:
    one = fleet("lufta")
    traces = Traces.of(one)
    (one.path / "fleet.json").write_text('{"block":')

    with pytest.raises(ToolError, match="is damaged: `fleet down"):
        one.list()
    one.down()

    traces.wait_until_gone()


def test_a_first_generation_that_does_not_build_says_why(fleet: FleetFactory) -> None:
    one = fleet()
    broken = one.path.parent / "broken.nix"
    broken.parent.mkdir(exist_ok=True)
    broken.write_text('{ nixpkgs, hostName }: throw "no ${hostName}"\n')

    with pytest.raises(ToolError, match="no lufta"):
        one.up("lufta", options=["--first-generation", str(broken)])

    assert not one.path.exists()


def test_without_root_the_tool_says_so(tmp_path: Path) -> None:
    argv = ["unshare", "--user", str(FLEET_TOOL), "up", "lufta", "--dir", str(tmp_path)]

    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 1
    assert "must be root" in done.stderr


def test_a_missing_program_names_its_package(tmp_path: Path) -> None:
    """Only Python is to be found: the image cannot be built, and it says why."""
    path = tmp_path / "bin"
    path.mkdir()
    (path / "python3").symlink_to("/usr/bin/python3")
    environment = {"PATH": str(path), "RECONCILER_FLEET_CACHE": str(tmp_path / "cache")}
    argv = [str(FLEET_TOOL), "image"]

    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, env=environment, timeout=30
    )

    assert done.returncode == 1
    assert "run `apt-get install " in done.stderr
    assert not list((tmp_path / "cache").rglob("root"))


KILLED_MMDEBSTRAP = """\
#!/bin/sh
for word; do case $word in */root) root=$word ;; esac; done
mkdir -p "$root/proc" && mount -t tmpfs none "$root/proc" && touch "$root/proc/seen"
touch "$(dirname "$0")/mounted"
kill -KILL $$
"""


def test_a_build_of_the_image_that_is_killed_leaves_no_mounts(tmp_path: Path) -> None:
    """Mounts would be in the way of the next build: as if out of memory half-way."""
    tool = tmp_path / "bin/mmdebstrap"
    tool.parent.mkdir()
    tool.write_text(KILLED_MMDEBSTRAP)
    tool.chmod(0o755)
    path = f"{tool.parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "RECONCILER_FLEET_CACHE": str(tmp_path / "cache")}

    done = subprocess.run(
        [str(FLEET_TOOL), "image"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=30,
    )

    assert done.returncode == 1
    assert "mmdebstrap failed" in done.stderr
    assert (tmp_path / "bin/mounted").exists()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert not list((tmp_path / "cache").rglob("root"))


def _piped(argv: list[str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, cwd=ROOT)


def _greeting(host: FleetHost) -> bytes:
    """Return the first bytes that the host's sshd says, none if it is silent."""
    with socket.create_connection((host.address, 22), timeout=SILENCE) as connection:
        try:
            return connection.recv(4)
        except TimeoutError:
            return b""
