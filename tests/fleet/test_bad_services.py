"""Services that do not stay up, and policies that leave things as they are."""

from collections.abc import Iterator, Mapping

import pytest

from reconciler.model import Outcome, Reason
from tests.support.budget import tried
from tests.support.extra import add_extras, attempts, flat, set_extra
from tests.support.fleet import FleetFactory
from tests.support.rig import DEADLINE, QUICK, Rig
from tests.support.wait import wait_until

HOSTS = ("chrysalis", "keanu")
FACTS = "printerfacts.service"
MAYFLY = "mayfly.service"
PROFILE = "/nix/var/nix/profiles/system"

# How it dies -> what else its unit says.
DEATHS = {
    "once": "",
    "again and again": 'serviceConfig = { Restart = "always"; RestartSec = 1; };',
}


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


@pytest.mark.parametrize("how", tried("once", among=DEATHS))
def test_a_service_that_dies_after_every_start(rig: Rig, how: str) -> None:
    more = DEATHS[how]
    host = rig.host("keanu")
    booted = boot_default(rig)
    unit = f'wantedBy = [ "multi-user.target" ]; script = "exit 7"; {more}'
    set_extra(rig, "keanu", f"systemd.services.mayfly = {{ {unit} }};")
    greet(rig, f"keanu has a mayfly {len(more)}")

    head = rig.push("A service that dies")

    rig.wait_in_sync("chrysalis")
    rig.wait_error("keanu", MAYFLY, "reconciler retry keanu")
    begun = looks(rig)
    wait_until(lambda: looks(rig) >= begun + 3, DEADLINE, "looks that only look")
    assert MAYFLY in flat(rig.run("status", "keanu").stdout)
    (tried,) = [one for one in attempts(rig, "keanu") if one.commit == head]
    assert (tried.outcome, tried.reason) == (Outcome.ROLLED_BACK, Reason.UNHEALTHY)
    assert booted == boot_default(rig) == host.running_toplevel
    assert rig.metric('reconciler_quarantined{host="keanu"}') == 1

    long = unit.replace("exit 7", "exec sleep infinity")
    set_extra(rig, "keanu", f"systemd.services.mayfly = {{ {long} }};")
    rig.push("A service that lives")

    rig.wait_in_sync(*HOSTS)
    assert host.is_active(MAYFLY)
    assert boot_default(rig) == host.running_toplevel


@pytest.mark.matrix
def test_without_heal_drift_is_shown_and_commits_are_deployed(rig: Rig) -> None:
    restart(rig, {**QUICK, "heal": False})
    host = rig.host("keanu")

    host.exec("systemctl", "stop", FACTS)

    wait_until(
        lambda: rig.status()["keanu"]["verdict"] == "reported", DEADLINE, "a report"
    )
    begun = looks(rig)
    wait_until(lambda: looks(rig) >= begun + 3, DEADLINE, "three more looks")
    assert not host.is_active(FACTS)
    stopped = 'reconciler_drift_items{host="keanu",kind="unit-stopped"}'
    assert rig.metric(stopped) == 1
    assert FACTS in flat(rig.run("status", "keanu").stdout)
    assert "not to heal" in flat(rig.run("plan", "keanu", status=2).stdout)

    set_extra(rig, "keanu")
    rig.push("Without the mayfly")

    rig.wait_in_sync(*HOSTS)
    assert host.is_active(FACTS)
    assert not rig.metric(stopped)


@pytest.mark.matrix
def test_a_daemon_that_only_reports_changes_nothing_but_a_person_may(rig: Rig) -> None:
    restart(rig, {**QUICK, "mode": "report"})
    before = {host.name: host.running_toplevel for host in rig.fleet}
    greet(rig, "This was applied by hand")
    set_extra(rig, "keanu", "within.services.printerfacts.enable = lib.mkForce false;")

    head = rig.push("A change for both")

    wait_until(
        lambda: all(
            (rig.status()[name]["commit"], rig.status()[name]["verdict"])
            == (head, "reported")
            for name in HOSTS
        ),
        DEADLINE,
        "both to be reported",
    )
    begun = looks(rig)
    wait_until(lambda: looks(rig) >= begun + 3, DEADLINE, "three more looks")
    assert {host.name: host.running_toplevel for host in rig.fleet} == before
    assert "report only" in flat(rig.run("plan", "keanu", status=2).stdout)

    assert "in sync" in rig.run("apply", "keanu").stdout

    rig.wait_in_sync("keanu")
    assert not rig.host("keanu").is_active(FACTS)
    assert rig.host("chrysalis").running_toplevel == before["chrysalis"]
    restart(rig, QUICK)
    rig.wait_in_sync(*HOSTS)


def greet(rig: Rig, text: str) -> None:
    """Change what chrysalis runs, and nothing else."""
    set_extra(rig, "chrysalis", f'within.services.withinbot.greeting = "{text}";')


def looks(rig: Rig) -> float:
    """Return how often keanu was looked at since the daemon began."""
    counts = (
        rig.metric(f'reconciler_passes_total{{host="keanu",result="{result}"}}')
        for result in ("success", "requeue", "error")
    )
    return sum(count or 0 for count in counts)


def boot_default(rig: Rig) -> str:
    """Return the system that keanu would boot."""
    return rig.host("keanu").exec("readlink", "-f", PROFILE).strip()


def restart(rig: Rig, policy: Mapping[str, object]) -> None:
    """Start the daemon again with another policy."""
    assert rig.stop_daemon() == 0
    rig.write_settings(policy=policy)
    rig.run_daemon()
