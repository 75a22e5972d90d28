"""Scripts that wait until real hosts run a commit: the exit status tells."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, ROOT, Rig
from tests.support.wait import wait_until

LUFTA = "hosts/lufta/configuration.nix"
BAD = (
    'systemd.services.bad = { wantedBy = [ "multi-user.target" ]; script = "false"; };'
)
ARRIVED, FAILED, TIME_IS_UP, ASKED = 0, 1, 2, 3


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


def change(rig: Rig, text: str) -> str:
    """Put *text* into the configuration of the host, and push; return the commit."""
    file = rig.repository.work / LUFTA
    before = file.read_text().rstrip().removesuffix("}")
    file.write_text(f"{before}  {text}\n}}\n")
    return rig.push("A change")


def note(name: str) -> str:
    return f'environment.etc."{name}".text = "x";'


def test_a_commit_that_arrives_is_waited_for_and_each_change_told(rig: Rig) -> None:
    commit = change(rig, note("one"))

    told = rig.run("wait", "--timeout", "3m", status=ARRIVED).stdout

    assert "lufta  arrived" in told
    assert rig.status()["lufta"]["commit"] == commit
    assert rig.json("wait", "--commit", commit[:8], status=ARRIVED)["hosts"] == [
        {"host": "lufta", "standing": "arrived", "why": ""}
    ]


@pytest.mark.matrix
def test_one_that_is_rolled_back_has_failed(rig: Rig) -> None:
    bad = change(rig, BAD)

    told = rig.run("wait", "--timeout", "3m", status=FAILED).stdout

    assert "lufta  failed" in told
    assert "bad.service" in told
    rig.repository.git("revert", "--no-edit", bad)
    good = rig.push("Back")
    rig.run("wait", "--timeout", "3m", status=ARRIVED)
    # The host runs a commit that has the bad one in it, undone.
    rig.run("wait", "--commit", bad, status=ARRIVED)
    assert rig.status()["lufta"]["commit"] == good


@pytest.mark.matrix
def test_a_host_that_is_held_asks_for_a_person(rig: Rig) -> None:
    rig.run("hold", "lufta", "--reason", "not now")
    change(rig, note("two"))

    told = rig.run("wait", "--timeout", "3m", status=ASKED).stdout

    assert "lufta  asked  is held" in told
    rig.run("release", "lufta")
    rig.run("wait", "lufta", "--timeout", "3m", status=ARRIVED)


def test_a_host_that_is_off_is_waited_for_until_the_time_is_up(rig: Rig) -> None:
    rig.host("lufta").kill()
    change(rig, note("three"))

    done = rig.run("wait", "--timeout", "8s", status=TIME_IS_UP)

    assert "the time is up" in done.stderr
    rig.host("lufta").start()
    rig.run("wait", "--timeout", "3m", status=ARRIVED)


def waiting(rig: Rig, *words: str) -> subprocess.Popen[str]:
    """Start a wait, which goes on."""
    return subprocess.Popen(
        rig.argv("wait", "--timeout", "3m", *words),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.matrix
def test_a_later_commit_and_a_daemon_that_is_restarted_end_no_wait(rig: Rig) -> None:
    rig.host("lufta").freeze()
    try:
        first = change(rig, note("four"))
        wait_until(
            lambda: rig.run("sync", "--wait", status=None).returncode == 0,
            DEADLINE,
            "the daemon to know the commit",
        )
        with waiting(rig, "--commit", first) as script:
            change(rig, note("five"))
            assert rig.stop_daemon() == 0
            rig.run_daemon()
            rig.host("lufta").thaw()
            told, _ = script.communicate(timeout=180)
    finally:
        rig.host("lufta").thaw()

    assert script.returncode == ARRIVED, told
    assert "lufta  arrived" in told


def test_without_a_daemon_there_are_words(rig: Rig) -> None:
    rig.stop_daemon()

    done = rig.run("wait", "--timeout", "5s", status=FAILED)

    assert "no daemon answers" in done.stderr
    rig.run_daemon()
