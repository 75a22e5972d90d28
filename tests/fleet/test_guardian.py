"""
A host ends on the new system, healthy, or on the old one, healthy; on real hosts.

The whole of the faults is in ``tests/fleet/faults``; here is each way in which an
attempt ends, once.
"""

import json
from collections.abc import Iterator

import pytest

from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, Json, Rig
from tests.support.wait import wait_until

BOT = "withinbot.service"
LUFTA = "hosts/lufta/configuration.nix"
PROFILE = "/nix/var/nix/profiles/system"


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """One host that was deployed by the first push."""
    policy = {"settle": "1s", "confirm_timeout": "15s", "switch_timeout": "15s"}
    folder = tmp_path_factory.mktemp("rig")
    with Rig(folder, module_fleet("lufta"), policy=policy) as rig:
        rig.run_daemon()
        rig.push("The services of one host")
        rig.wait_in_sync("lufta")
        yield rig


@pytest.fixture(autouse=True)
def _good_again(rig: Rig) -> Iterator[None]:
    """Begin and end with a host that is as its commit says."""
    good = rig.repository.head
    yield
    if rig.daemon is None:
        rig.run_daemon()
    if rig.repository.head != good:
        rig.repository.git("checkout", "-q", good, "--", ".")
        rig.push("As it was")
    rig.wait_in_sync("lufta")
    assert rig.host("lufta").exec("ls", "-A", "/run/keys").split() == ["withinbot"]


def add(rig: Rig, text: str, subject: str) -> None:
    """Push a commit that adds *text* to the module of lufta."""
    path = rig.repository.work / LUFTA
    body, brace, rest = path.read_text().rpartition("}")
    path.write_text(f"{{ lib, ... }}:\n{body}{text}\n{brace}{rest}")
    rig.push(subject)


def last_attempt(rig: Rig) -> Json:
    """Return the newest attempt that has ended, once it is about the newest commit."""

    def ended() -> Json:
        (attempt,) = rig.json("history", "lufta", "-n", "1")
        mine = attempt["commit"] == rig.repository.head and attempt["outcome"]
        return attempt if mine else None

    return wait_until(ended, DEADLINE, "the attempt to end")


def waiting(rig: Rig) -> str:
    """Wait until a guardian waits for a decision; return its folder on the host."""
    script = 'cd /run/reconciler && for d in *; do [ ! -e "$d/result" ] && '
    script += '[ "$(cat "$d/phase")" = waiting ] && echo "$d"; done; true'

    def found() -> str:
        return rig.host("lufta").exec("sh", "-c", script).strip()

    return wait_until(found, DEADLINE, "a guardian to wait")


def boots(rig: Rig) -> str:
    """Return the system that the host would boot."""
    return rig.host("lufta").exec("readlink", "-f", PROFILE).strip()


def test_a_service_that_fails_is_rolled_back_with_what_it_said(rig: Rig) -> None:
    before = boots(rig)
    add(
        rig,
        """
        systemd.services.bad = {
          wantedBy = [ "multi-user.target" ];
          script = "echo I cannot go on; exit 3";
        };
        """,
        "A service that fails",
    )

    attempt = last_attempt(rig)

    assert attempt["outcome"] == "rolled_back"
    assert attempt["reason"] == "unhealthy"
    assert "bad.service" in attempt["message"]
    assert "I cannot go on" in attempt["message"]
    assert rig.host("lufta").running_toplevel == boots(rig) == before
    assert rig.host("lufta").is_active(BOT)


@pytest.mark.matrix
def test_a_declared_check_that_does_not_pass_is_a_reason_to_go_back(rig: Rig) -> None:
    before = boots(rig)
    rig.edit(LUFTA, "every printer", "every checked printer")  # else nothing is new
    add(
        rig,
        """
        deployment.healthChecks.tcp = [
          { port = 9; within = 1; period = 0.3; description = "the discard service"; }
        ];
        """,
        "A check of what is not there",
    )

    attempt = last_attempt(rig)

    assert (attempt["outcome"], attempt["reason"]) == ("rolled_back", "unhealthy")
    assert "the discard service" in attempt["message"]
    assert rig.host("lufta").running_toplevel == boots(rig) == before


@pytest.mark.matrix  # a fault of every day is like it
def test_a_system_that_stops_sshd_is_rolled_back_by_the_host_alone(rig: Rig) -> None:
    before = boots(rig)
    add(
        rig,
        """
        systemd.services.cutter = {
          wantedBy = [ "multi-user.target" ];
          serviceConfig.Type = "oneshot";
          serviceConfig.RemainAfterExit = true;
          script = "systemctl stop sshd.service; pkill sshd || true";
        };
        """,
        "Nobody gets in any more",
    )

    attempt = last_attempt(rig)

    assert (attempt["outcome"], attempt["reason"]) == ("rolled_back", "unconfirmed")
    assert rig.host("lufta").running_toplevel == boots(rig) == before
    assert rig.host("lufta").ssh("echo here") == "here\n"
    assert rig.host("lufta").is_active(BOT)


@pytest.mark.matrix  # a fault of every day is like it
def test_a_switch_that_hangs_is_ended_and_rolled_back(rig: Rig) -> None:
    before = boots(rig)
    add(
        rig,
        """
        system.activationScripts.hang = "sleep 600";
        """,
        "An activation that hangs",
    )

    attempt = last_attempt(rig)

    assert (attempt["outcome"], attempt["reason"]) == ("rolled_back", "switch-failed")
    assert "did not end in time" in attempt["message"]
    assert rig.host("lufta").running_toplevel == boots(rig) == before


@pytest.mark.matrix  # a fault of every day is like it
def test_a_guardian_that_is_killed_still_rolls_back(rig: Rig) -> None:
    before = boots(rig)
    rig.stop_daemon()
    rig.edit(LUFTA, "far away from every printer", "near a printer")
    rig.push("A good commit")
    rig.run_daemon()
    folder = waiting(rig)
    rig.host("lufta").exec(
        "systemctl", "kill", "--kill-who=main", "-s", "KILL", "reconciler-activation"
    )

    def result() -> str:
        return rig.host("lufta").exec(
            "sh", "-c", f"cat /run/reconciler/{folder}/result 2>/dev/null || true"
        )

    assert wait_until(result, DEADLINE, "a result").strip() == "rolled-back"
    attempt = rig.json("history", "lufta", "-n", "1")[0]
    assert before in (attempt["from"], boots(rig))


@pytest.mark.matrix  # a fault of every day is like it
@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_reconciler_that_comes_back_confirms_what_is_healthy(
    rig: Rig, *, kill: bool
) -> None:
    rig.edit(LUFTA, "every printer", f"every printer, {kill}")
    rig.push("A good commit")
    folder = waiting(rig)

    rig.stop_daemon(kill=kill)
    rig.run_daemon()
    rig.wait_in_sync("lufta")

    attempt = last_attempt(rig)
    assert (attempt["id"], attempt["outcome"]) == (folder, "succeeded")
    assert attempt["to"] == boots(rig) == rig.host("lufta").running_toplevel


@pytest.mark.matrix  # a fault of every day is like it
def test_a_reconciler_that_stays_away_leaves_the_host_on_the_old_system(
    rig: Rig,
) -> None:
    before = boots(rig)
    rig.edit(LUFTA, "every printer", "every single printer")
    rig.push("A good commit")
    folder = waiting(rig)

    rig.stop_daemon(kill=True)
    result = f"/run/reconciler/{folder}/result"
    test = ("sh", "-c", f"cat {result} 2>/dev/null || true")
    told = wait_until(lambda: rig.host("lufta").exec(*test), DEADLINE, "a result")
    assert told.strip() == "rolled-back"
    assert rig.host("lufta").running_toplevel == boots(rig) == before
    rig.run_daemon()
    rig.wait_in_sync("lufta")

    attempts = {one["id"]: one for one in rig.json("history", "lufta")}
    assert attempts[folder]["outcome"] == "rolled_back"
    assert attempts[folder]["reason"] == "unconfirmed"


@pytest.mark.matrix  # a fault of every day is like it
def test_a_power_cut_before_confirmation_boots_the_old_system(rig: Rig) -> None:
    rig.edit(LUFTA, "every printer", "every last printer")
    before = boots(rig)
    rig.push("A good commit")
    folder = waiting(rig)

    rig.host("lufta").kill()
    rig.stop_daemon(kill=True)
    rig.host("lufta").start()
    assert rig.host("lufta").running_toplevel == boots(rig) == before
    rig.run_daemon()
    rig.wait_in_sync("lufta")

    attempts = {one["id"]: one for one in rig.json("history", "lufta")}
    assert attempts[folder]["outcome"] == "rolled_back"
    assert attempts[folder]["reason"] == "rebooted"
    assert rig.host("lufta").running_toplevel == boots(rig) != before


def test_a_changed_key_is_rolled_back_with_its_system(rig: Rig) -> None:
    key = rig.host("lufta").exec("cat", "/run/keys/withinbot")
    (rig.repository.work / "new.env").write_text("WITHINBOT_TOKEN='another'\n")
    add(
        rig,
        """
        deployment.keys.withinbot.text = lib.mkForce "WITHINBOT_TOKEN='another'";
        systemd.services.bad = {
          wantedBy = [ "multi-user.target" ];
          script = "cmp -s /run/keys/withinbot /dev/null; exit 3";
        };
        """,
        "A new key with a service that fails",
    )

    attempt = last_attempt(rig)

    assert attempt["outcome"] == "rolled_back"
    assert json.dumps(attempt).count("another") == 0
    assert rig.host("lufta").exec("cat", "/run/keys/withinbot") == key
