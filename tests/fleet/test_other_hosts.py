"""Hosts that differ from the usual: no login for root, newer, and with a full disk."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.model import Outcome
from tests.support.extra import add_extras, flat, last_ended, set_extra
from tests.support.faults.releases import FAILS_AT_ONCE
from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

FACTS = "printerfacts.service"
FILLER = "/nix/filler"
WORDS = {  # sudo is what is taken where nobody says anything
    "doas": 'deployment.privilegeEscalationCommand = [ "doas" "-n" ];',
    "run0": 'deployment.privilegeEscalationCommand = [ "run0" ];',
}


def looks_do_not_ring(rig: Rig) -> Callable[[], bool]:
    """Return what tells whether the host rings, and did not while it was looked at."""
    since: list[tuple[float, float]] = []

    def quiet() -> bool:
        done = rig.metric('reconciler_passes_total{host="keanu",result="success"}')
        looks = done or 0.0
        rings = rig.metric('reconciler_bell_rings_total{host="keanu"}') or 0.0
        has_bell = rig.metric('reconciler_host_bell{host="keanu",state="rings"}')
        if not has_bell or not since or since[0][1] != rings:
            since[:] = [(looks, rings)]
        return looks > since[0][0] + 1

    return quiet


@pytest.mark.parametrize(
    ("debian", "become"),
    [
        pytest.param(12, "sudo", id="through sudo"),
        pytest.param(12, "doas", id="through doas", marks=pytest.mark.matrix),
        pytest.param(
            13,
            "run0",
            id="through run0, systemd 257 and Nix 2.26",
            marks=pytest.mark.matrix,
        ),
        pytest.param(13, "", id="root, the same", marks=pytest.mark.matrix),
    ],
)
def test_a_host_is_deployed_and_healed(
    fleet: FleetFactory, tmp_path: Path, debian: int, become: str
) -> None:
    options = ["--user", "deploy"] if become else []
    with Rig(tmp_path, fleet("keanu", debian=debian, options=options)) as rig:
        add_extras(rig, "keanu")
        set_extra(rig, "keanu", WORDS.get(become, ""))
        rig.run_daemon()
        rig.push("The services of keanu")
        rig.wait_in_sync("keanu")
        host = rig.host("keanu")
        assert host.is_active(FACTS)

        host.exec("systemctl", "mask", "--runtime", "--now", FACTS)

        wait_until(lambda: host.is_active(FACTS), DEADLINE, f"{FACTS} to come back")
        rig.wait_in_sync("keanu")
        wait_until(looks_do_not_ring(rig), DEADLINE, "looks that do not ring")
        more = "within.services.withinbot.enable = true;"
        set_extra(rig, "keanu", WORDS.get(become, "") + more)
        rig.push("One more service")
        rig.wait_in_sync("keanu")
        assert host.is_active("withinbot.service")
        profile = host.exec("readlink", "-f", "/nix/var/nix/profiles/system").strip()
        assert profile == host.running_toplevel
        assert "in sync" in rig.run("apply", "keanu").stdout

        running = host.running_toplevel
        set_extra(rig, "keanu", WORDS.get(become, "") + FAILS_AT_ONCE)
        bad = rig.push("A service that fails")

        def gone_back() -> bool:
            last = last_ended(rig, "keanu")
            return last.commit == bad and last.outcome is Outcome.ROLLED_BACK

        wait_until(gone_back, DEADLINE, "the host to go back")
        assert host.running_toplevel == running
        assert host.is_active("withinbot.service")


@pytest.mark.matrix
def test_a_full_disk_is_told_and_served_once_there_is_room(
    fleet: FleetFactory, tmp_path: Path
) -> None:
    small = fleet("keanu", options=["--nix-size", "200M"])
    with Rig(tmp_path, small, policy={"min_free": "1M"}) as rig:
        add_extras(rig, "keanu")
        rig.run_daemon()
        rig.push("The services of keanu")
        rig.wait_in_sync("keanu")
        host = rig.host("keanu")
        running = host.running_toplevel
        host.exec("sh", "-c", f"cat /dev/zero >{FILLER} 2>/dev/null || true")
        set_extra(
            rig,
            "keanu",
            'environment.etc.large.source = pkgs.runCommand "large" { }'
            ' "head -c 20000000 /dev/urandom >$out";',
        )

        rig.push("Twenty megabytes more")

        rig.wait_error("keanu", "keanu", "the store has no room")
        assert host.running_toplevel == running
        assert host.is_active(FACTS)
        assert last_ended(rig, "keanu").outcome is Outcome.FAILED
        assert "the store has no room" in flat(rig.run("status", "keanu").stdout)
        assert rig.healthy()

        host.exec("rm", FILLER)

        rig.wait_in_sync("keanu")
        assert host.exec("stat", "-Lc", "%s", "/etc/large").strip() == "20000000"
