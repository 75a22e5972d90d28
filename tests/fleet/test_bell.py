"""Hosts that ring: what happens is seen at once, however rare regular looks are."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.support.budget import tried
from tests.support.fleet import FleetFactory, FleetHost
from tests.support.rig import Rig
from tests.support.wait import wait_until

BOT = "withinbot.service"
KEY = "/run/keys/withinbot"
SOON = 15.0  # seconds; the next regular look is minutes away
LEFT = (
    "ls /run/systemd/transient | grep reconciler-bell;"
    "pgrep --exact --list-name journalctl;"
    "pgrep --full 'beat=1[2]';"  # which is not how it stands here
    "systemctl list-units --all --plain --no-legend 'reconciler-bell-*';"
    "true"
)


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Deploy one host, which is looked at every five minutes."""
    folder, hosts = tmp_path_factory.mktemp("rig"), module_fleet("lufta")
    with Rig(folder, hosts, policy={"interval": "5m"}) as rig:
        rig.only("lufta")
        rig.run_daemon()
        rig.push("One host")
        rig.wait_in_sync("lufta")
        wait_for_bell(rig)
        yield rig


@pytest.fixture
def host(rig: Rig) -> FleetHost:
    """Return the host, in order and with its bell."""
    rig.wait_in_sync("lufta")
    wait_for_bell(rig)
    return rig.host("lufta")


def bell(rig: Rig) -> str:
    """Return how the daemon says that the host is looked at."""
    for state in ("rings", "flapping", "polled"):
        if rig.metric(f'reconciler_host_bell{{host="lufta",state="{state}"}}') == 1:
            return state
    return ""


def wait_for_bell(rig: Rig) -> None:
    """Wait until the host rings, and what its bell brought about is done."""
    wait_until(lambda: bell(rig) == "rings", SOON, "the host to have a bell")


def passes(rig: Rig) -> float:
    """Return how often the host was looked at."""
    results = ("success", "requeue", "error")
    series = 'reconciler_passes_total{{host="lufta",result="{}"}}'
    return sum(rig.metric(series.format(one)) or 0.0 for one in results)


def left(host: FleetHost) -> str:
    """Return what there is of bells on the host."""
    return host.exec("sh", "-c", LEFT)


STRIKES = {
    "stopped": f"systemctl stop {BOT}",
    "killed": f"systemctl kill --signal=KILL {BOT}",
    "masked": f"systemctl mask --runtime --now {BOT}",
    "stopped and masked": f"systemctl stop {BOT}; systemctl mask --runtime {BOT}",
}


@pytest.mark.parametrize("strike", tried("killed", "masked", among=STRIKES))
def test_a_service_is_there_again_within_seconds(
    rig: Rig, host: FleetHost, strike: str
) -> None:
    before = rig.invocation("lufta", BOT)

    host.exec("sh", "-c", STRIKES[strike])

    wait_until(
        lambda: host.is_active(BOT) and rig.invocation("lufta", BOT) != before,
        SOON,
        "the service to run again",
    )


def test_a_key_that_is_removed_is_there_again_within_seconds(
    host: FleetHost,
) -> None:
    host.exec("rm", KEY)

    wait_until(
        lambda: host.exec_status("test", "-f", KEY) == 0, SOON, "the key to be back"
    )


def test_another_system_that_somebody_switches_to_is_taken_back(
    rig: Rig, host: FleetHost
) -> None:
    (first,) = host.exec(
        "sh", "-c", "readlink -f /nix/var/nix/profiles/system-1-link"
    ).split()
    ours = host.running_toplevel
    assert first != ours

    host.exec(f"{first}/bin/switch-to-configuration", "test", deadline_s=120)

    wait_until(lambda: host.running_toplevel == ours, 2 * SOON, "the system to be back")
    rig.wait_in_sync("lufta")


def test_our_looks_and_attempts_do_not_ring_for_ever(rig: Rig, host: FleetHost) -> None:
    """Also nothing of the bell counts as drift."""
    host.exec("systemctl", "stop", BOT)
    wait_until(lambda: host.is_active(BOT), SOON, "the service to run again")
    rig.wait_in_sync("lufta")

    counts: list[float] = []

    def is_quiet() -> bool:
        # An attempt connects anew, which ends the bell; another is hung by a look.
        if bell(rig) != "rings":
            counts.clear()
        counts.append(passes(rig))
        return len(counts) > 20 and counts[-1] == counts[-20]

    wait_until(is_quiet, SOON, "the host to be looked at no more")
    (status,) = rig.json("status")
    assert status["in_sync"]
    assert not any("bell" in drift["subject"] for drift in status["drifts"])
    assert status["bell"] == {"state": "rings", "why": ""}
    assert "it rings" in rig.run("status", "lufta").stdout


def test_a_bell_that_somebody_kills_is_hung_again(rig: Rig, host: FleetHost) -> None:
    before = left(host)

    host.exec("pkill", "--exact", "journalctl")

    wait_until(lambda: bell(rig) == "polled", SOON, "it to be noticed")
    wait_for_bell(rig)
    now = left(host)
    assert now != before
    assert now.count("journalctl") == 1
    host.exec("systemctl", "stop", BOT)
    wait_until(lambda: host.is_active(BOT), SOON, "the service to run again")


def test_a_host_that_was_rebooted_rings_again(rig: Rig, host: FleetHost) -> None:
    """And nothing is started on it while it goes down, though it is looked at then."""
    slow = ("--unit=slow", "--property=ExecStop=sleep 3", "sleep", "infinity")
    host.exec("systemd-run", "--quiet", *slow)
    # What was struck at while it was healed, by the tests before, is theirs.
    before = {one["id"] for one in rig.json("history", "lufta")}

    host.reboot()

    rig.wait_in_sync("lufta")
    wait_until(lambda: "journalctl" in left(host), SOON, "the bell to hang there")
    wait_for_bell(rig)
    since = [one for one in rig.json("history", "lufta") if one["id"] not in before]
    assert [one for one in since if one["outcome"] != "succeeded"] == []
    host.exec("systemctl", "stop", BOT)
    wait_until(lambda: host.is_active(BOT), SOON, "the service to run again")


@pytest.mark.matrix
def test_a_frozen_host_is_known_to_be_away(rig: Rig, host: FleetHost) -> None:
    host.freeze()
    try:
        wait_until(
            lambda: not rig.status()["lufta"]["reachable"], 45.0, "it to be noticed"
        )
    finally:
        host.thaw()
    rig.wait_in_sync("lufta")


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(False, id="ended", marks=pytest.mark.matrix),
        pytest.param(True, id="killed"),
    ],
)
def test_nothing_is_left_on_the_host_when_the_daemon_is_gone(
    rig: Rig, host: FleetHost, *, kill: bool
) -> None:
    assert "journalctl" in left(host)
    rig.stop_daemon(kill=kill)
    try:
        wait_until(lambda: not left(host), SOON, "the bell to be taken down")
    finally:
        rig.run_daemon()


def test_without_bells_nothing_runs_on_the_host(rig: Rig, host: FleetHost) -> None:
    rig.policy["bell"] = "off"
    rig.write_settings()
    try:
        wait_until(lambda: not left(host), SOON, "the bell to be taken down")
        (status,) = rig.json("status")
        assert status["bell"]["state"] == "polled"
        assert "policy.bell" in status["bell"]["why"]
    finally:
        del rig.policy["bell"]
        rig.write_settings()
    wait_for_bell(rig)


@pytest.mark.matrix
def test_a_host_that_rings_without_end_is_polled(rig: Rig, host: FleetHost) -> None:
    """With another interval: of five minutes, it would take that long to be over."""
    rig.policy["interval"] = "1m"
    rig.write_settings()
    storm = "while :; do systemctl daemon-reload; sleep 1.6; done"
    with subprocess.Popen(host.exec_argv("sh", "-c", storm)) as reloading:
        try:
            wait_until(lambda: bell(rig) == "flapping", 30.0, "it to be flapping")
            rings = 'reconciler_bell_rings_total{host="lufta"}'
            looks, heard = passes(rig), rig.metric(rings) or 0.0
            wait_until(
                lambda: (rig.metric(rings) or 0.0) > heard + 5, SOON, "it to ring on"
            )
            assert passes(rig) <= looks + 1
            assert "flapping" in rig.run("status", "lufta").stdout
        finally:
            reloading.kill()
            rig.policy["interval"] = "5m"
            rig.write_settings()
    kinds = [one["kind"] for one in rig.json("events")]
    assert kinds.count("flapping") == 1
