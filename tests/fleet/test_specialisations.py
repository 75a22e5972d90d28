"""A host that somebody switched to a specialisation of its system."""

from pathlib import Path

import pytest

from reconciler.model import Outcome
from tests.support.extra import add_extras, attempts, flat, set_extra
from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

pytestmark = pytest.mark.timeout(300)

HOST = "lufta"
BEACON = "beacon.service"
ON_BATTERY = "on-battery.service"
SLEEPS = 'script = "exec sleep infinity"; wantedBy = [ "multi-user.target" ];'
NIX = f"""
  systemd.services.beacon = {{ {SLEEPS} }};
  specialisation.on-battery.configuration = {{
    systemd.services.beacon.enable = lib.mkForce false;
    systemd.services.on-battery = {{ {SLEEPS} }};
  }};
"""
PROFILE = "/nix/var/nix/profiles/system"
RUNNING = "/run/current-system"
SWITCH = f"{PROFILE}/specialisation/on-battery/bin/switch-to-configuration"


def test_it_stays_until_a_commit_brings_another_system(
    fleet: FleetFactory, tmp_path: Path
) -> None:
    with Rig(tmp_path, fleet(HOST)) as rig:
        rig.only(HOST)
        add_extras(rig, HOST)
        set_extra(rig, HOST, NIX)
        rig.run_daemon()
        rig.push("A machine that may be carried about")
        rig.wait_in_sync(HOST)
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
        assert host.is_active(ON_BATTERY)
        assert not host.is_active(BEACON)
        assert len(attempts(rig, HOST)) == before
        assert "specialisation on-battery" in flat(rig.run("status").stdout)
        assert "specialisation on-battery" in flat(rig.run("plan").stdout)

        set_extra(rig, HOST, NIX + f"  systemd.services.more = {{ {SLEEPS} }};\n")
        rig.push("More")
        rig.wait_in_sync(HOST)
        assert attempts(rig, HOST)[0].outcome is Outcome.SUCCEEDED
        assert attempts(rig, HOST)[0].source == chosen.strip()
        assert host.is_active(BEACON)
        assert not host.is_active(ON_BATTERY)


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
