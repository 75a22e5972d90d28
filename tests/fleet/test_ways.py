"""Commits that change the way to a host: it is reached as it was, until it is there."""

from collections.abc import Iterator

import pytest

from reconciler.model import Outcome
from tests.support.extra import add_extras, flat, last_ended, set_extra
from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

pytestmark = pytest.mark.timeout(300)

HOST = "keanu"
FACTS = "printerfacts.service"
PORT = 2222
WRONG = 2223
POLICY = {"confirm_timeout": "5s", "settle": "0.5s"}


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """One host that was deployed by the first push."""
    folder = tmp_path_factory.mktemp("rig")
    with Rig(folder, module_fleet(HOST), policy=POLICY) as rig:
        rig.only(HOST)
        # Here the commits say at which port it is.
        text = rig.settings.read_text()
        rig.settings.write_text(text.replace(", port: 22", ""))
        assert text != rig.settings.read_text()
        add_extras(rig, HOST)
        rig.run_daemon()
        rig.push("The services of one host")
        rig.wait_in_sync(HOST)
        yield rig


def push(rig: Rig, nix: str, message: str) -> None:
    set_extra(rig, HOST, nix)
    rig.push(message)


def test_another_port_of_sshd(rig: Rig) -> None:
    """The new one is known by the key of the old one, and nobody had to say so."""
    before = rig.host(HOST).running_toplevel

    push(rig, f"services.openssh.ports = [ {PORT} ];", "Move sshd")

    rig.wait_in_sync(HOST)
    assert last_ended(rig, HOST).outcome is Outcome.SUCCEEDED
    assert rig.host(HOST).running_toplevel != before
    assert f":{PORT}, converged" in rig.run("check", HOST).stdout

    push(rig, "", "Move sshd back")
    rig.wait_in_sync(HOST)

    assert last_ended(rig, HOST).outcome is Outcome.SUCCEEDED
    assert rig.host(HOST).running_toplevel == before


@pytest.mark.matrix
def test_a_port_where_nobody_listens(rig: Rig) -> None:
    """It goes back, says what was seen, and is kept whole by the way that it has."""
    before = rig.host(HOST).running_toplevel

    push(
        rig,
        f"services.openssh.ports = [ 22 ]; deployment.targetPort = {WRONG};"
        ' environment.etc.moved.text = "moved";',
        "Say where sshd is not",
    )

    wait_until(
        lambda: last_ended(rig, HOST).outcome is Outcome.ROLLED_BACK, DEADLINE, "it"
    )
    assert "Connection refused" in last_ended(rig, HOST).message
    message = flat(last_ended(rig, HOST).message)
    assert f"we come to port {WRONG}" in message
    assert rig.host(HOST).running_toplevel == before
    rig.host(HOST).exec("systemctl", "stop", FACTS)
    wait_until(lambda: rig.host(HOST).is_active(FACTS), DEADLINE, "the old service")


@pytest.mark.matrix
def test_no_sshd_any_more(rig: Rig) -> None:
    """The plan warns of it; afterwards it is said what was seen, and what did it."""
    push(rig, "", "As it was")
    rig.wait_in_sync(HOST)
    rig.stop_daemon()
    before = rig.host(HOST).running_toplevel
    push(rig, "services.openssh.enable = lib.mkForce false;", "Do without sshd")
    (planned,) = rig.json("plan", HOST, status=2)
    assert "services.openssh.enable is false" in planned["warnings"][0]

    rig.run_daemon()

    def told() -> str:
        message = flat(last_ended(rig, HOST).message)
        return message if "services.openssh.enable is false" in message else ""

    message = wait_until(told, DEADLINE, "the end")
    assert "Connection refused" in message
    assert last_ended(rig, HOST).outcome is Outcome.ROLLED_BACK
    assert rig.host(HOST).running_toplevel == before
