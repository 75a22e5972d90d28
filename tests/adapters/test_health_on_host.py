"""
The health gate on a real host: what systemd shows of services that go wrong.

Each test looks twice, as an attempt does, and judges.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import yaml

from reconciler.model import (
    CheckKind,
    CheckSide,
    Desired,
    DesiredUnit,
    HealthCheck,
    HostName,
    Observed,
    StorePath,
    Target,
    UnitName,
)
from reconciler.observed import probe, read_journal, run_checks
from reconciler.plan import Baseline, Problem, ProblemKind, judge, still_moving
from reconciler.remote import HostReader
from reconciler.remote.connections import Connections
from reconciler.settings import SshSettings
from tests.support.fleet import FleetHost, Reaper, fleets
from tests.support.wait import wait_until

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.skipif(os.geteuid() != 0, reason="hosts need root"),
]

FOLDER = "/usr/lib/systemd/system"
SERVICES = {
    "steady": "ExecStart=/bin/sleep infinity",
    "other": "ExecStart=/bin/sleep infinity",
    "dies": "ExecStart=/bin/sh -c 'echo said; echo no database >&2; exit 7'",
    "loops": "ExecStart=/bin/sleep 0.3\nRestart=always\nRestartSec=0.1",
    "retries": "ExecStart=/bin/false\nRestart=always\nRestartSec=5",
    "starts": "Type=notify\nExecStart=/bin/sleep infinity\nTimeoutStartSec=infinity",
}
NOWHERE = UnitName("nowhere.service")
ALL = tuple(UnitName(f"gate-{name}.service") for name in SERVICES)


def name_of(name: str) -> UnitName:
    return UnitName(f"gate-{name}.service")


@dataclass
class Scene:
    """One host with services, none of which runs."""

    host: FleetHost
    reader: HostReader

    def look(self) -> Observed:
        """Probe the host."""
        return probe(self.reader, ALL, now=0.0)

    def sh(self, script: str) -> None:
        """Run a script inside, without SSH."""
        self.host.exec("sh", "-e", "-c", script)

    def start(self, *names: str) -> None:
        """Begin to start services, and wait for none."""
        units = " ".join(map(name_of, names))
        self.sh(f"systemctl start --no-block {units}")

    def look_when(self, condition: Callable[[Observed], bool]) -> Observed:
        """Look until *condition* is met."""
        looks: list[Observed] = []

        def met() -> bool:
            looks.append(self.look())
            return condition(looks[-1])

        wait_until(met, 20, "the services to be so")
        return looks[-1]


@pytest.fixture(scope="module")
def lufta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    reaper = Reaper()
    with fleets(tmp_path_factory.mktemp("fleets"), reaper) as start:
        fleet = start("lufta")
        settings = SshSettings(**yaml.safe_load(fleet.settings.read_text())["ssh"])
        assert settings.known_hosts is not None
        connections = Connections(settings, known_hosts=settings.known_hosts)
        host = fleet["lufta"]
        target = Target(address=host.address, user=host.user)
        scene = Scene(host, connections.reader(HostName("lufta"), target))
        for name, lines in SERVICES.items():
            text = f"[Unit]\nStartLimitIntervalSec=0\n[Service]\n{lines}\n"
            scene.sh(f"cat >{FOLDER}/{name_of(name)} <<'END'\n{text}END")
        scene.sh("systemctl daemon-reload")
        yield scene
        connections.close()
    reaper.close()


@pytest.fixture
def scene(lufta: Scene) -> Iterator[Scene]:
    yield lufta
    units = " ".join(ALL)
    lufta.sh(f"systemctl stop {units}; systemctl reset-failed")


def desired(seen: Observed, *names: str) -> Desired:
    """Return what runs on the host, with these services wanted."""
    assert seen.running is not None
    wanted = [name_of(name) for name in names]
    return Desired(
        host=seen.host,
        toplevel=seen.running,
        derivation=StorePath("/nix/store/x.drv"),
        units={
            name: DesiredUnit(
                name=name, path=StorePath(seen.units[name].fragment), wanted=True
            )
            for name in wanted
        },
        target=Target(address="lufta"),
    )


def told(problems: tuple[Problem, ...]) -> list[tuple[ProblemKind, str]]:
    return [(problem.what, problem.unit) for problem in problems]


def is_in(state: str, *names: str) -> Callable[[Observed], bool]:
    def condition(seen: Observed) -> bool:
        return all(seen.units[name_of(n)].active_state == state for n in names)

    return condition


def test_services_that_stay_up_are_healthy(scene: Scene) -> None:
    aim = desired(scene.look(), "steady", "other")
    before = Baseline.of(aim, scene.look())
    scene.start("steady", "other")
    early = scene.look_when(is_in("active", "steady", "other"))

    assert judge(aim, before=before, early=early, now=scene.look()) == ()


def test_a_service_that_somebody_restarts_began_anew(scene: Scene) -> None:
    aim = desired(scene.look(), "steady", "other")
    before = Baseline.of(aim, scene.look())
    scene.start("steady", "other")
    early = scene.look_when(is_in("active", "steady", "other"))
    scene.sh(f"systemctl restart {name_of('other')}")

    found = judge(aim, before=before, early=early, now=scene.look())

    # What was down before, with the same file, is not this deployment's doing.
    assert told(found) == []
    fresh = Baseline(boot_id=before.boot_id)
    found = judge(aim, before=fresh, early=early, now=scene.look())
    assert told(found) == [(ProblemKind.RESTARTED, name_of("other"))]


def test_a_service_that_dies_has_failed_and_says_why(scene: Scene) -> None:
    aim = desired(scene.look(), "steady", "dies")
    nothing = Baseline(boot_id="")
    scene.start("steady", "dies")
    scene.look_when(is_in("active", "steady"))
    early = scene.look_when(is_in("failed", "dies"))

    found = judge(aim, before=nothing, early=early, now=scene.look())
    names = [UnitName(problem.unit) for problem in found]
    journal = read_journal(scene.reader, [*names, NOWHERE], lines=5)

    assert told(found) == [(ProblemKind.FAILED, name_of("dies"))]
    assert "exit-code" in found[0].text
    lines = "\n".join(journal[name_of("dies")])
    assert "]: no database" in lines
    assert "status=7" in lines
    assert len(journal[name_of("dies")]) <= 5
    assert journal[NOWHERE] == ()


def test_a_service_that_restarts_for_ever_is_seen_in_whatever_state(
    scene: Scene,
) -> None:
    aim = desired(scene.look(), "loops")
    nothing = Baseline(boot_id="")
    name = name_of("loops")
    scene.start("loops")
    early = scene.look_when(is_in("active", "loops"))
    restarts = early.units[name].restarts
    up_again = scene.look_when(
        lambda seen: (
            is_in("active", "loops")(seen) and seen.units[name].restarts > restarts
        )
    )
    waits = scene.look_when(is_in("activating", "loops"))

    for now in (up_again, waits):
        found = judge(aim, before=nothing, early=early, now=now)
        assert told(found) == [(ProblemKind.RESTART_LOOP, name)]
    assert still_moving(aim, waits, before=nothing) == (), "pauses are not waited for"


def test_a_service_that_looped_before_does_not_count(scene: Scene) -> None:
    scene.start("loops")
    running = scene.look_when(
        lambda seen: (
            is_in("active", "loops")(seen) and seen.units[name_of("loops")].restarts > 0
        )
    )
    aim = desired(running, "loops")
    before = Baseline.of(aim, running)
    early = scene.look()
    now = scene.look_when(is_in("activating", "loops"))

    assert judge(aim, before=before, early=early, now=now) == ()
    assert still_moving(aim, now, before=before) == ()


def test_services_on_their_way_are_told_apart(scene: Scene) -> None:
    aim = desired(scene.look(), "retries", "starts")
    nothing = Baseline(boot_id="")
    scene.start("retries", "starts")
    seen = scene.look_when(
        lambda seen: (
            seen.units[name_of("retries")].sub_state == "auto-restart"
            and seen.units[name_of("starts")].active_state == "activating"
        )
    )

    assert still_moving(aim, seen, before=nothing) == (
        name_of("retries"),
        name_of("starts"),
    )
    assert told(judge(aim, before=nothing, early=seen, now=seen)) == [
        (ProblemKind.RESTART_LOOP, name_of("retries")),
        (ProblemKind.NOT_ACTIVE, name_of("starts")),
    ]


def test_checks_are_tried_on_the_host_itself(scene: Scene) -> None:
    def check(kind: CheckKind, **fields: object) -> HealthCheck:
        given = {"side": CheckSide.HOST, "within": 0.5, "name": "it", **fields}
        return HealthCheck(kind=kind, **given)  # type: ignore[arg-type]

    aim = Desired(
        host=HostName("lufta"),
        toplevel=StorePath("/nix/store/t"),
        derivation=StorePath("/nix/store/t.drv"),
        units={},
        target=Target(address="lufta"),
        checks=(
            check(CheckKind.TCP, host=scene.host.address, port=22, within=10),
            check(CheckKind.TCP, port=1),
            check(CheckKind.COMMAND, command=("grep", "lufta", "/etc/hostname")),
            check(CheckKind.COMMAND, command=("systemctl", "is-active", ALL[0])),
        ),
    )

    results = run_checks(scene.reader, aim, deadline=15)

    assert [result.passed for result in results] == [True, False, True, False]
    assert "Connection refused" in results[1].problem
    assert results[3].problem.startswith("exited with status 3: inactive")
