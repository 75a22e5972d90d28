"""A host that somebody switched to a specialisation of its system."""

from pathlib import Path

import pytest

from reconciler.model import Outcome
from tests.support.extra import add_extras, attempts, flat, set_extra
from tests.support.fleet import FleetFactory, FleetHost
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

pytestmark = pytest.mark.timeout(300)

HOST = "lufta"
BEACON = "beacon.service"
ON_BATTERY = "on-battery.service"
SLEEPS = 'script = "exec sleep infinity"; wantedBy = [ "multi-user.target" ];'
BASE = f"  systemd.services.beacon = {{ {SLEEPS} }};\n"
NIX = f"""
  {BASE}
  specialisation.on-battery.configuration = {{
    systemd.services.beacon.enable = lib.mkForce false;
    systemd.services.on-battery = {{ {SLEEPS} }};
  }};
"""
MORE = f"  systemd.services.more = {{ {SLEEPS} }};\n"
WANTS_DARK = f"""
  specialisation.dark.configuration.systemd.services.dark = {{ {SLEEPS} }};
  deployment.specialisation = "dark";
"""
PROFILE = "/nix/var/nix/profiles/system"
RUNNING = "/run/current-system"
SWITCH = f"{PROFILE}/specialisation/on-battery/bin/switch-to-configuration"


def up(host: FleetHost) -> set[str]:
    names = (BEACON, ON_BATTERY, "more.service", "dark.service")
    return {name for name in names if host.is_active(name)}


def release(rig: Rig, nix: str, message: str) -> None:
    set_extra(rig, HOST, nix)
    rig.push(message)
    rig.wait_in_sync(HOST)


@pytest.mark.matrix
def test_it_stays_in_it_and_a_commit_brings_the_one_of_that_name(
    fleet: FleetFactory, tmp_path: Path
) -> None:
    with Rig(tmp_path, fleet(HOST)) as rig:
        rig.only(HOST)
        add_extras(rig, HOST)
        rig.run_daemon()
        release(rig, NIX, "A machine that may be carried about")
        host, before = rig.host(HOST), len(attempts(rig, HOST))

        host.exec(SWITCH, "test")
        chosen = host.exec("readlink", "-f", RUNNING)
        wait_until(
            lambda: rig.status()[HOST]["running"] == chosen.strip(),
            DEADLINE,
            "a look at the specialisation",
        )
        rig.push("Something that changes no system")
        rig.wait_in_sync(HOST)

        assert host.exec("readlink", "-f", RUNNING) == chosen
        assert up(host) == {ON_BATTERY}
        assert len(attempts(rig, HOST)) == before
        assert "specialisation on-battery" in flat(rig.run("status").stdout)
        assert "specialisation on-battery" in flat(rig.run("plan").stdout)

        release(rig, NIX + MORE, "More")
        assert attempts(rig, HOST)[0].outcome is Outcome.SUCCEEDED
        assert attempts(rig, HOST)[0].source == chosen.strip()
        assert up(host) == {ON_BATTERY, "more.service"}
        new = host.exec("readlink", "-f", f"{PROFILE}/specialisation/on-battery")
        assert host.exec("readlink", "-f", RUNNING) == new
        default = host.exec("readlink", "-f", "/boot/default")
        assert default == host.exec("readlink", "-f", PROFILE)

        release(rig, NIX + MORE + WANTS_DARK, "Dark")
        assert up(host) == {BEACON, "more.service", "dark.service"}
        rig.run("wait", HOST, "--timeout", "20s")
        assert "as the commit wants it" in flat(rig.run("plan").stdout)

        release(rig, BASE, "No more of that")
        assert up(host) == {BEACON}


@pytest.mark.matrix
def test_it_is_taken_back_where_the_policy_says_so(
    fleet: FleetFactory, tmp_path: Path
) -> None:
    with Rig(tmp_path, fleet(HOST), policy={"specialisation": "base"}) as rig:
        rig.only(HOST)
        add_extras(rig, HOST)
        set_extra(rig, HOST, NIX)
        rig.run_daemon()
        rig.push("A machine that may be carried about")
        rig.wait_in_sync(HOST)
        host = rig.host(HOST)
        base = host.exec("readlink", "-f", RUNNING)

        host.exec(SWITCH, "test")

        wait_until(
            lambda: host.exec("readlink", "-f", RUNNING) == base,
            DEADLINE,
            "the base to run again",
        )
        wait_until(lambda: host.is_active(BEACON), DEADLINE, "its service")
        assert not host.is_active(ON_BATTERY)
