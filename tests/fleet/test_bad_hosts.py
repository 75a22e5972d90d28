"""Hosts that are away, silent, full, or not who they say they are."""

import time
from collections.abc import Iterator

import pytest

from reconciler.model import Outcome
from tests.support.extra import add_extras, attempts, flat, set_extra
from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import patience, wait_until, within

HOSTS = ("chrysalis", "keanu")
FACTS = "printerfacts.service"
UP = 'reconciler_host_up{host="keanu"}'
MACHINE_ID = "/etc/machine-id"
NOTE = "/var/lib/reconciler-driver"
STRANGER = "0123456789abcdef" * 2
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
SILENCE = 10.0  # seconds after which a host that says nothing is given up: the default


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Two hosts that were deployed by the first push."""
    folder, hosts = tmp_path_factory.mktemp("rig"), module_fleet(*HOSTS)
    # What is waited for here no host rings for.
    with Rig(folder, hosts, policy={"interval": "2s"}) as rig:
        add_extras(rig, *HOSTS)
        rig.run_daemon()
        rig.push("The services of two hosts")
        rig.wait_in_sync(*HOSTS)
        yield rig


def test_a_host_without_power_is_told_and_served_once_it_is_back(rig: Rig) -> None:
    host = rig.host("keanu")
    host.kill()
    rig.wait_error("keanu", "keanu", host.address, "refused")
    assert rig.metric(UP) == 0
    assert "unreachable" in rig.run("status").stdout
    greet(rig, "keanu has no power")
    set_extra(rig, "keanu", 'systemd.services.printerfacts.environment.DAY = "1";')

    rig.push("A change for both")

    rig.wait_in_sync("chrysalis")
    assert host.address in rig.run("plan", "keanu", status=1).stdout
    host.start()
    rig.wait_in_sync(*HOSTS)
    assert "DAY=1" in environment(rig)
    assert rig.metric(UP) == 1


@pytest.mark.matrix
def test_a_silent_host_delays_nobody(rig: Rig) -> None:
    """It accepts TCP and says nothing, as a machine does that swaps to death."""
    host = rig.host("keanu")
    host.freeze()
    greet(rig, "keanu is silent")

    began = time.monotonic()
    rig.push("A change for chrysalis")
    rig.wait_in_sync("chrysalis")
    took = time.monotonic() - began

    assert host.state == "frozen"
    assert took < patience(SILENCE), "chrysalis waited for keanu"
    rig.wait_error("keanu", "keanu", "did not")
    assert rig.metric(UP) == 0
    host.thaw()
    rig.wait_in_sync(*HOSTS)


@pytest.mark.matrix  # a fault of every day is like it
def test_a_host_that_falls_silent_while_it_switches_is_waited_for(rig: Rig) -> None:
    host = rig.host("keanu")
    head = push_slow_start(rig, "it falls silent")

    host.freeze()
    greet(rig, "keanu holds its breath")
    rig.push("A change for chrysalis")
    rig.wait_in_sync("chrysalis")
    assert attempts(rig, "keanu")[0].outcome is None
    host.thaw()

    rig.wait_in_sync(*HOSTS)
    (attempt,) = (one for one in attempts(rig, "keanu") if one.commit == head)
    assert attempt.outcome is Outcome.SUCCEEDED
    assert host.is_active(FACTS)


@pytest.mark.matrix  # a fault of every day is like it
def test_a_host_that_loses_power_while_it_switches_is_switched_again(rig: Rig) -> None:
    host = rig.host("keanu")
    push_slow_start(rig, "it loses power")

    host.kill()
    host.start()

    rig.wait_in_sync(*HOSTS)
    assert "it loses power" in environment(rig)
    assert host.is_active(FACTS)


def test_another_machine_under_the_name_is_not_touched(rig: Rig) -> None:
    host = rig.host("keanu")
    own = host.exec("cat", MACHINE_ID).strip()
    running, before = host.running_toplevel, attempts(rig, "keanu")
    become(rig, STRANGER)
    rig.wait_error("keanu", "another machine", own, STRANGER, "reconciler trust keanu")
    host.exec("systemctl", "stop", FACTS)
    set_extra(rig, "keanu")

    head = rig.push("A change for keanu")

    wait_until(
        lambda: rig.status()["keanu"]["commit"] == head, DEADLINE, "another look"
    )
    assert rig.status()["keanu"]["verdict"] == "blocked"
    plan = flat(rig.run("plan", "keanu", status=2).stdout)
    assert "blocked another machine answers as keanu" in plan
    rig.run("apply", "keanu", status=1)
    assert host.running_toplevel == running
    assert not host.is_active(FACTS), "it is not healed either"
    assert attempts(rig, "keanu") == before

    rig.run("trust", "keanu")

    rig.wait_in_sync("keanu")
    assert host.is_active(FACTS)
    become(rig, own)
    rig.wait_error("keanu", "another machine")
    rig.run("trust", "keanu")
    rig.wait_in_sync(*HOSTS)


def test_a_changed_host_key_is_refused_until_somebody_trusts_it(rig: Rig) -> None:
    old = fingerprint(rig)
    make = f"rm {HOST_KEY} {HOST_KEY}.pub && ssh-keygen -qt ed25519 -N '' -f {HOST_KEY}"
    rig.host("keanu").exec("sh", "-c", make)
    new = fingerprint(rig)
    assert rig.stop_daemon() == 0  # the connection that is open knows no new key
    rig.run_daemon()

    rig.wait_error("keanu", old, new, "reconciler trust --replace keanu")
    assert "has changed" in flat(rig.run("plan", "keanu", status=1).stdout)
    assert "has changed" in flat(rig.run("trust", "keanu", status=1).stderr)

    assert new in rig.run("trust", "--replace", "keanu").stdout

    rig.wait_in_sync(*HOSTS)


@pytest.mark.matrix
def test_a_daemon_starts_beside_a_host_that_is_down(rig: Rig) -> None:
    assert rig.stop_daemon() == 0
    rig.host("keanu").kill()
    greet(rig, "keanu was down from the start")
    rig.push("A change while nobody looks")

    rig.run_daemon()

    rig.wait_in_sync("chrysalis")
    rig.wait_error("keanu", "refused")
    rig.host("keanu").start()
    rig.wait_in_sync(*HOSTS)


@pytest.mark.matrix  # a fault of every day is like it
def test_a_daemon_that_stops_while_a_host_switches_follows_it_later(rig: Rig) -> None:
    head = push_slow_start(rig, "the daemon stops")

    with within(30.0):
        assert rig.stop_daemon() == 0

    left = attempts(rig, "keanu")[0]
    assert (left.commit, left.outcome) == (head, None), "its guardian goes on"
    rig.run_daemon()
    rig.wait_in_sync(*HOSTS)
    followed = attempts(rig, "keanu")[0]
    assert (followed.id, followed.outcome) == (left.id, Outcome.SUCCEEDED)


def test_a_daemon_that_stops_while_it_builds_does_so_at_once(rig: Rig) -> None:
    facts = 'pkgs.runCommand "paper" { } "sleep 3600; echo fact >$out"'
    set_extra(rig, "keanu", f"within.services.printerfacts.facts = {facts};")
    rig.push("A fact sheet that is built for an hour")
    wait_until(lambda: attempts(rig, "keanu")[0].outcome is None, DEADLINE, "the build")

    with within(15.0):
        assert rig.stop_daemon() == 0

    assert attempts(rig, "keanu")[0].outcome is Outcome.INTERRUPTED
    assert rig.status()["keanu"]["error"] == "", "the host has no fault"
    set_extra(rig, "keanu")
    rig.push("No fact sheet after all")
    rig.run_daemon()
    rig.wait_in_sync(*HOSTS)


@pytest.mark.matrix
def test_a_host_that_another_reconciler_drives_is_left_alone(rig: Rig) -> None:
    host = rig.host("keanu")
    assert str(rig.state) in host.exec("cat", NOTE)
    host.exec("sh", "-c", f"echo feedface cadey@laptop:/elsewhere >{NOTE}")
    host.exec("systemctl", "stop", FACTS)

    rig.wait_error("keanu", "another reconciler", "cadey@laptop:/elsewhere")

    rig.run("approve", "keanu")
    rig.wait_in_sync(*HOSTS)
    assert str(rig.state) in host.exec("cat", NOTE)
    assert host.exec("systemctl", "is-active", FACTS).strip() == "active"


def test_two_names_of_one_machine_are_left_alone(rig: Rig) -> None:
    keanu = rig.host("keanu")
    before = keanu.exec("readlink", "/run/current-system")
    network = rig.repository.work / "network.nix"
    whole = network.read_text()
    twin = f"""
  twin = {{
    imports = [ ./hosts/keanu/configuration.nix ];
    deployment.targetHost = "{keanu.address}";
  }};
}}
"""
    network.write_text(whole.rstrip().removesuffix("}") + twin)
    rig.push("A second name for keanu")

    rig.wait_error("twin", "lead to one machine", "keanu", "twin")
    rig.wait_error("keanu", "lead to one machine", "keanu", "twin")
    assert rig.run("check", "keanu", "twin", status=1).stdout.count("one machine") == 2
    assert keanu.exec("readlink", "/run/current-system") == before

    network.write_text(whole)
    rig.push("One name is enough")
    rig.wait_in_sync(*HOSTS)


def greet(rig: Rig, text: str) -> None:
    """Change what chrysalis runs, and nothing else."""
    set_extra(rig, "chrysalis", f'within.services.withinbot.greeting = "{text}";')


def push_slow_start(rig: Rig, why: str) -> str:
    """Push a service of keanu that takes seconds to start; return while it does."""
    unit = "systemd.services.printerfacts"
    nix = f'{unit} = {{ preStart = "sleep 3"; environment.WHY = "{why}"; }};'
    set_extra(rig, "keanu", nix)
    head = rig.push(f"A service that takes its time: {why}")
    show = ("systemctl", "show", "-p", "ActiveState,Environment", FACTS)

    def starting() -> bool:
        told = rig.host("keanu").exec(*show)
        return "ActiveState=activating" in told and why in told

    wait_until(starting, DEADLINE, f"{FACTS} to start")
    return head


def environment(rig: Rig) -> str:
    """Return what keanu's service was given."""
    return rig.host("keanu").exec("systemctl", "show", "-p", "Environment", FACTS)


def become(rig: Rig, machine_id: str) -> None:
    """Give keanu another machine id."""
    rig.host("keanu").exec("sh", "-c", f"echo {machine_id} >{MACHINE_ID}")


def fingerprint(rig: Rig) -> str:
    """Return the fingerprint of keanu's host key."""
    return rig.host("keanu").exec("ssh-keygen", "-lf", f"{HOST_KEY}.pub").split()[1]
