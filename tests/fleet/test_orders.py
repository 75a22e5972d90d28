"""What people order about a real host: hold, release, retry, rollback; and look."""

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from reconciler.history import History
from reconciler.model import HostName, Quarantine, StorePath
from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, ROOT, Rig
from tests.support.wait import wait_until

BOT = "withinbot.service"
KEY = "/run/keys/withinbot"
NOTE = "/run/keys/note"
LUFTA = "hosts/lufta/configuration.nix"
HELD = 'reconciler_held{host="lufta"}'


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Deploy one host."""
    with Rig(tmp_path_factory.mktemp("rig"), module_fleet("lufta")) as rig:
        rig.only("lufta")
        rig.run_daemon()
        rig.push("One host")
        rig.wait_in_sync("lufta")
        yield rig


def change(rig: Rig) -> None:
    """Change the system of the host in the clone, each time differently."""
    file = rig.repository.work / LUFTA
    text = file.read_text().rstrip().removesuffix("}")
    note = f'environment.etc."note-{time.monotonic_ns()}".text = "x";'
    file.write_text(f"{text}  {note}\n}}\n")


def wait_verdict(rig: Rig, verdict: str) -> None:
    """Wait until the newest commit was judged so."""
    head = rig.repository.head

    def judged() -> bool:
        status = rig.status()["lufta"]
        return (status["verdict"], status["commit"]) == (verdict, head)

    wait_until(judged, DEADLINE, f"lufta to be {verdict}")


def boots(rig: Rig) -> str:
    return rig.host("lufta").exec("readlink", "-f", "/boot/default").strip()


def test_a_held_host_is_left_alone_until_it_is_released(rig: Rig) -> None:
    running = rig.host("lufta").running_toplevel
    rig.run("hold", "lufta", "--reason", "the disk is being changed")
    change(rig)
    rig.push("Not now")

    wait_verdict(rig, "held")
    assert rig.status()["lufta"]["hold"]["reason"] == "the disk is being changed"
    assert rig.metric(HELD) == 1
    rig.host("lufta").exec("systemctl", "stop", BOT)
    rig.run("apply", "lufta", status=1)
    assert not rig.host("lufta").is_active(BOT)
    assert rig.host("lufta").running_toplevel == running
    rig.host("lufta").exec("rm", KEY)
    rig.run("keys", "send", "lufta")
    assert rig.host("lufta").exec_status("test", "-f", KEY) == 0
    boot = rig.host("lufta").boot_id
    rig.run("reboot", "lufta")
    assert rig.host("lufta").boot_id != boot
    assert rig.host("lufta").is_active(BOT)
    assert rig.host("lufta").running_toplevel == running

    rig.run("release", "lufta")
    rig.wait_in_sync("lufta")
    assert rig.host("lufta").running_toplevel != running
    assert rig.metric(HELD) == 0


@pytest.mark.matrix
def test_a_hold_outlives_the_daemon_and_ends_with_its_time(rig: Rig) -> None:
    rig.run("hold", "lufta", "--reason", "a long while")
    assert rig.stop_daemon() == 0
    change(rig)
    rig.push("In a while")
    rig.run_daemon()

    wait_verdict(rig, "held")
    rig.run("hold", "lufta", "--reason", "a short while", "--for", "1s")
    rig.wait_in_sync("lufta")
    kinds = [event.kind for event in events(rig)]
    assert kinds.index("hold-ended") < kinds.index("hold")


def events(rig: Rig) -> list:  # type: ignore[type-arg]
    with contextlib.closing(open_history(rig)) as history:
        return history.events(host=HostName("lufta"))


def open_history(rig: Rig) -> History:
    return History.open(rig.state / "history.sqlite")


@pytest.mark.matrix
def test_a_system_that_failed_is_tried_again_when_somebody_says_so(rig: Rig) -> None:
    rig.run("hold", "lufta", "--reason", "wait")
    change(rig)
    rig.push("This one failed before")
    wait_verdict(rig, "held")
    with contextlib.closing(open_history(rig)) as history:
        history.quarantine(
            Quarantine(
                host=HostName("lufta"),
                toplevel=StorePath(rig.status()["lufta"]["target"]),
                reason="it did not stay up",
                since=0,
                attempt="a",
            )
        )
    rig.run("release", "lufta")
    wait_verdict(rig, "quarantined")
    assert "it did not stay up" in rig.run("status").stdout

    assert "quarantine lifted" in rig.run("retry", "lufta").stdout

    rig.wait_in_sync("lufta")


@pytest.mark.matrix
def test_a_rollback_stays_until_the_host_is_released(rig: Rig) -> None:
    old = rig.host("lufta").running_toplevel
    before = rig.repository.head
    change(rig)
    rig.push("A mistake")
    rig.wait_in_sync("lufta")
    new = rig.host("lufta").running_toplevel
    *_, last_but_one, last = rig.json("rollback", "lufta", "--list")
    assert (last["toplevel"], last["commit"]) == (new, rig.repository.head)
    assert (last["running"], last["default"]) == (True, True)
    assert (last_but_one["toplevel"], last_but_one["commit"]) == (old, before)
    choice = rig.json("rollback", "lufta", "--dry-run")
    assert choice["to"]["number"] == last_but_one["number"]
    assert rig.host("lufta").running_toplevel == new

    rig.run("rollback", "lufta", "--reason", "it was a mistake")

    assert rig.host("lufta").running_toplevel == boots(rig) == old
    assert rig.host("lufta").is_active(BOT)
    (attempt,) = rig.json("history", "lufta", "-n", "1")
    assert (attempt["outcome"], attempt["to"]) == ("succeeded", old)
    wait_verdict(rig, "held")
    rig.host("lufta").reboot()
    wait_verdict(rig, "held")
    assert rig.host("lufta").running_toplevel == old

    rig.run("release", "lufta")
    rig.wait_in_sync("lufta")
    assert rig.host("lufta").running_toplevel == boots(rig) == new


def with_note(rig: Rig, content: str) -> None:
    """Have the host another system, and a key with this content."""
    change(rig)
    file = rig.repository.work / LUFTA
    text = re.sub(r"  deployment.keys.note.*\n", "", file.read_text())
    key = f'deployment.keys.note.text = "{content}";'
    file.write_text(f"{text.rstrip().removesuffix('}')}  {key}\n}}\n")


def test_a_generation_comes_with_its_own_keys(rig: Rig) -> None:
    def note() -> str:
        return rig.host("lufta").exec("cat", NOTE)

    with_note(rig, "first")
    rig.push("A key")
    rig.wait_in_sync("lufta")
    with_note(rig, "second")
    rig.push("Its content is another one")
    rig.wait_in_sync("lufta")
    assert note() == "second"
    first = rig.run("rollback", "lufta", "--dry-run").stdout

    rig.run("rollback", "lufta")

    assert note() == "first"
    (attempt,) = rig.json("history", "lufta", "-n", "1")
    assert f"with the keys of commit {attempt['commit'][:8]}" in attempt["message"]
    assert f"Keys come as commit {attempt['commit'][:8]} declares them" in first

    rig.run("release", "lufta")
    rig.wait_in_sync("lufta")
    assert note() == "second"


@pytest.mark.matrix
def test_a_generation_is_chosen_by_its_number(rig: Rig) -> None:
    first = rig.json("rollback", "lufta", "--list")[0]
    missing = rig.run("rollback", "lufta", "--to", "9999", status=1)
    assert "has no generation 9999" in missing.stderr

    rig.run("rollback", "lufta", "--to", str(first["number"]), status=None)

    # The first one is that of the image: whatever it is, the host is well and known.
    (attempt,) = rig.json("history", "lufta", "-n", "1")
    assert attempt["to"] == first["toplevel"]
    went = attempt["outcome"] == "succeeded"
    assert rig.host("lufta").running_toplevel == attempt["to" if went else "from"]
    rig.run("release", "lufta")
    rig.wait_in_sync("lufta")


def test_the_journal_of_a_unit_is_shown_and_followed(rig: Rig) -> None:
    host = rig.host("lufta")
    host.exec("systemd-run", "--wait", "--unit=greeter", "echo", "hello there")
    assert "hello there" in rig.run("logs", "lufta", "greeter", "-n", "9").stdout

    follower = subprocess.Popen(
        rig.argv("logs", "lufta", "greeter.service", "-f", "-n", "0"),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        greet(rig, follower)
    finally:
        follower.kill()
        follower.communicate(timeout=10)


def greet(rig: Rig, follower: subprocess.Popen[str]) -> None:
    """Greet until the follower says so: it may have begun late."""
    assert follower.stdout is not None
    host = rig.host("lufta")
    journals = ["sh", "-c", "pgrep -f 'journalctl.*greete[r]'"]
    wait_until(lambda: host.exec_status(*journals) == 0, DEADLINE, "journalctl")
    host.exec("systemd-run", "--wait", "--unit=greeter", "echo", "again")
    for line in follower.stdout:
        if "again" in line:
            return
    pytest.fail("the follower ended")


def test_ssh_runs_a_command_and_tells_its_status(rig: Rig) -> None:
    assert (
        rig.run("ssh", "lufta", "--", "echo", "a  b", "$HOME").stdout == "a  b $HOME\n"
    )
    assert rig.run("ssh", "lufta", "--", "echo $((40 + 2)); exit 5", status=5)
    assert rig.run("ssh", "lufta", "--", "hostname").stdout == "lufta\n"
