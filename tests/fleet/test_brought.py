"""What a deployment brought to a real host is told whole, once it is over."""

import time
from collections.abc import Iterator

import pytest

from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, Json, Rig
from tests.support.wait import wait_until

HOST, BOT = "lufta", "withinbot.service"
FILE = "hosts/lufta/configuration.nix"
PLACE = "far away from every printer"


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Give a host that was deployed by the first push."""
    with Rig(tmp_path_factory.mktemp("rig"), module_fleet(HOST)) as rig:
        rig.only(HOST)
        rig.run_daemon()
        rig.push("The services of one host")
        rig.wait_in_sync(HOST)
        yield rig


def whole(rig: Rig, attempt: str) -> Json:
    def told() -> Json:
        found = rig.json("history", attempt)["brought"]
        return found if found and not found["pending"] else None

    return wait_until(told, DEADLINE, f"what {attempt} brought")


def down_by_systemd(rig: Rig) -> float:
    """Ask systemd itself for how long the service was not active."""
    left, active = (
        int(rig.host(HOST).exec("systemctl", "show", "--value", "-p", stamp, BOT))
        for stamp in ("ActiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
    )
    return (active - left) / 1e6


def test_commits_units_and_sizes_of_a_deployment_are_told(rig: Rig) -> None:
    """Of a host that was off meanwhile, say, and gets all of them at once."""
    rig.run("hold", HOST, "--reason", "away")
    rig.edit(FILE, PLACE, f"{PLACE}, and high up")
    for number in range(3):
        rig.push(f"Change {number}")
    rig.run("release", HOST)
    rig.wait_in_sync(HOST)
    attempt = rig.json("history", HOST)[0]["id"]

    found = whole(rig, attempt)

    subjects = [one["subject"] for one in found["commits"]["came"]]
    assert subjects == ["Change 2", "Change 1", "Change 0"]
    assert {one["author"] for one in found["commits"]["came"]} == {"test"}
    (restart,) = (one for one in found["restarts"] if one["unit"] == BOT)
    assert restart["down_seconds"] == pytest.approx(down_by_systemd(rig), abs=1e-3)
    assert found["problem"] == ""
    assert found["packages"]["after"] == rig.host(HOST).running_toplevel
    assert found["packages"]["closure_bytes_after"] > 0
    shown = rig.run("history", attempt).stdout
    assert "Change 1" in shown
    assert f"{BOT}" in shown


@pytest.mark.matrix
def test_without_a_daemon_apply_works_it_out(rig: Rig) -> None:
    rig.stop_daemon(kill=True)
    rig.edit(FILE, PLACE, f"{PLACE} again")
    rig.push("Without a daemon")
    rig.run("apply", HOST)
    attempt = rig.json("history", HOST)[0]["id"]

    found = rig.json("history", attempt)["brought"]

    rig.run_daemon()
    assert not found["pending"]
    assert [one["subject"] for one in found["commits"]["came"]] == ["Without a daemon"]


@pytest.mark.matrix
def test_a_way_back_is_told_as_commits_taken_back(rig: Rig) -> None:
    rig.edit(FILE, PLACE, f"{PLACE} and back")
    rig.push("To be taken back")
    rig.wait_in_sync(HOST)
    rig.run("rollback", HOST, "--reason", "as it was")
    attempt = rig.json("history", HOST)[0]["id"]

    found = whole(rig, attempt)

    assert found["commits"]["count"] == 0
    assert [one["subject"] for one in found["commits"]["undone"]] == [
        "To be taken back"
    ]
    assert BOT in {one["unit"] for one in found["restarts"]}


@pytest.mark.matrix
def test_sync_waits_for_hosts_and_tells_by_its_status(rig: Rig) -> None:
    rig.run("release", HOST)
    rig.edit(FILE, PLACE, f"{PLACE} for good")
    head = rig.push("To be waited for")

    done = rig.run("sync", "--wait=hosts", "--timeout", "2m")

    assert f"{HOST}  arrived" in done.stdout
    assert rig.status()[HOST]["commit"] == head
    rig.run("hold", HOST, "--reason", "a test")
    rig.edit(FILE, PLACE, f"{PLACE} once more")
    rig.push("For a host that is held")
    held = rig.run("sync", "--wait=hosts", "--timeout", "1m", status=3)
    assert "asked" in held.stdout


def test_a_plan_tells_packages_and_texts_once_the_system_is_built(rig: Rig) -> None:
    rig.run("hold", HOST, "--reason", "a test")
    # The store of this machine may have what an earlier run of this test built.
    rig.edit(FILE, PLACE, f"{PLACE} or nearly {time.monotonic_ns()}")
    rig.push("To be read before it comes")
    unbuilt = rig.run("plan", HOST, "--diff", status=2).stdout
    assert f"reconciler diff {HOST} --build" in unbuilt

    rig.run("diff", HOST, "--build")
    shown = rig.run("plan", HOST, "--diff", status=2).stdout

    assert f"# /etc/systemd/system/{BOT}" in shown
    (came,) = (line for line in shown.splitlines() if "or nearly" in line)
    assert came.startswith("+")
    assert "the token of the first day" not in shown
    (plan,) = rig.json("plan", HOST, status=2)
    assert plan["brings"]["packages"]["packages"] == []
    assert plan["brings"]["reboot"] is not None
