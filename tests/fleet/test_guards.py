"""What a real host is spared until somebody says so, and reboots that are allowed."""

from collections.abc import Iterator

import pytest

from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

BOT = "withinbot.service"
LUFTA = "hosts/lufta/configuration.nix"
MODULE = "hosts/lufta/test.nix"
LOCK = "/run/nixos/switch-to-configuration.lock"
MANY = [f"little-{number}" for number in range(40)]


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Deploy one host, which may be rebooted."""
    folder = tmp_path_factory.mktemp("rig")
    with Rig(folder, module_fleet("lufta"), policy={"reboot": "allowed"}) as rig:
        rig.only("lufta")
        rig.run_daemon()
        rig.push("One host")
        rig.wait_in_sync("lufta")
        yield rig


def configure(rig: Rig, lines: str) -> None:
    """Have a module of the host's say *lines*, and nothing else."""
    file = rig.repository.work / MODULE
    if not file.exists():
        rig.edit(LUFTA, "imports = [", "imports = [ ./test.nix")
    file.write_text(f"{{ pkgs, ... }}: {{\n{lines}\n}}\n")


def test_a_new_kernel_is_booted_where_that_is_allowed(rig: Rig) -> None:
    host = rig.host("lufta")
    before = host.boot_id
    configure(rig, "boot.kernelPackages = pkgs.linuxPackages_latest;")

    rig.push("A new kernel")

    wait_until(
        lambda: "reboot" in steps(rig), DEADLINE, "an attempt that reboots the host"
    )
    rig.wait_in_sync("lufta")
    assert host.boot_id != before
    assert host.is_active(BOT)
    assert "reboot-needed" not in str(rig.status()["lufta"]["drifts"])


def steps(rig: Rig) -> list[str]:
    """Return the steps of the last attempt that has ended."""
    attempts = rig.json("history", "lufta", "-n", "2")
    ended = [one for one in attempts if one["ended_at"]]
    return [step["name"] for one in ended for step in one["steps"]]


@pytest.mark.matrix
def test_a_host_that_somebody_switches_is_left_alone(rig: Rig) -> None:
    host = rig.host("lufta")
    host.exec("mkdir", "-p", "/run/nixos")
    host.exec("systemd-run", "-q", "--unit=somebody", "flock", LOCK, "sleep", "99")
    wait_until(
        lambda: host.exec_status("flock", "-n", LOCK, "true") != 0, DEADLINE, "the lock"
    )
    before = host.running_toplevel
    configure(rig, 'environment.etc."new".text = "x";')
    rig.push("While somebody switches")

    rig.wait_error("lufta", "somebody is switching this host")
    assert host.running_toplevel == before
    (attempt,) = rig.json("history", "lufta", "-n", "1")
    assert attempt["commit"] != rig.repository.head

    host.exec("systemctl", "stop", "somebody")
    rig.wait_in_sync("lufta")


def test_a_system_without_most_services_waits_for_a_person(rig: Rig) -> None:
    service = (
        '{ wantedBy = [ "multi-user.target" ];'
        ' serviceConfig.ExecStart = "/bin/sleep infinity"; }'
    )
    lines = [f'systemd.services."{name}" = {service};' for name in MANY]
    configure(rig, "\n".join(lines))
    rig.push("Many services")
    rig.wait_in_sync("lufta")
    configure(rig, "")
    rig.push("And none of them")

    told = rig.wait_error("lufta", "reconciler approve lufta")

    assert "40 of the" in told
    assert rig.host("lufta").is_active("little-7.service")
    assert rig.status()["lufta"]["verdict"] == "blocked"
    rig.run("approve", "lufta")
    rig.wait_in_sync("lufta")
    assert not rig.host("lufta").is_active("little-7.service")


@pytest.mark.matrix
def test_a_system_that_has_no_room_is_not_copied(rig: Rig) -> None:
    assert rig.stop_daemon() == 0
    before = rig.host("lufta").running_toplevel
    configure(rig, 'environment.etc."new".text = "larger than the disk";')
    rig.push("It does not fit")
    rig.write_settings(policy={**rig.policy, "min_free": "900T"})

    told = rig.run("apply", "lufta", status=1)

    assert "the store has no room" in told.stdout
    assert rig.host("lufta").running_toplevel == before
    rig.write_settings()
    rig.run_daemon()
    rig.wait_in_sync("lufta")


def test_a_commit_without_hosts_does_not_count(rig: Rig) -> None:
    good = rig.repository.head
    file = rig.repository.work / "network.nix"
    file.write_text("{ network = { }; }\n")
    bad = rig.push("Oh no")

    wait_until(
        lambda: rig.metric("reconciler_commit_withheld") == 1, DEADLINE, "it to wait"
    )
    rig.host("lufta").exec("systemctl", "stop", BOT)
    wait_until(lambda: rig.host("lufta").is_active(BOT), DEADLINE, "the bot to be back")
    assert f"reconciler approve {bad[:8]}" in rig.run("status").stderr
    assert rig.status()["lufta"]["commit"] == good

    assert bad[:8] in rig.run("approve", bad[:8]).stdout
    wait_until(lambda: rig.status() == {}, DEADLINE, "the host to leave")
