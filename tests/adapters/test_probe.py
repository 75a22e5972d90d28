"""
The same contract for a real host and for the one in memory.

What scenarios prove with ``FakeHost`` is worth as much as what is shown here: that it
answers the probe, and takes repairs, as systemd does.
"""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
import yaml

from reconciler.apply import mend
from reconciler.errors import ConnectError, FactError
from reconciler.model import (
    HostName,
    Observed,
    ObservedUnit,
    Step,
    StepKind,
    StorePath,
    SystemParts,
    Target,
    UnitName,
)
from reconciler.observed import probe
from reconciler.remote import HostWriter
from reconciler.remote.connections import Connections
from reconciler.settings import SshSettings
from tests.support.fleet import FleetHost, Reaper, fleets
from tests.support.host import FakeHost
from tests.support.sshd import running

DEMO = UnitName("demo.service")
INSTANCE = UnitName(r"demo@a\x2db.service")
TEMPLATE = UnitName("demo@.service")
NOWHERE = UnitName("nowhere.service")
ASKED = (DEMO, INSTANCE, TEMPLATE, NOWHERE)
FOLDER = "/usr/lib/systemd/system"
MASK = f"/run/systemd/system/{DEMO}"
DROP_IN = f"/run/systemd/system/{DEMO}.d/by hand.conf"
SYSTEM = StorePath(f"/nix/store/{'s' * 32}-nixos-system-lufta-24.05")
LOCK = "/run/nixos/switch-to-configuration.lock"
INSTALL = r"""
cd "$(mktemp -d)" && mkdir unit-demo
printf '[Service]\nExecStart=/bin/sleep infinity\n' >unit-demo/demo.service
cp unit-demo/demo.service unit-demo/demo@.service
path=$(nix-store --add unit-demo)
ln -s "$path/demo.service" "$path/demo@.service" /usr/lib/systemd/system/
systemctl daemon-reload
systemctl start demo.service 'demo@a\x2db.service'
"""


class World(Protocol):
    """A host with ``demo.service`` and an instance of its template running."""

    writer: HostWriter

    def stop(self) -> None:
        """Stop demo.service by hand."""

    def mask(self) -> None:
        """Mask demo.service by hand, until the next boot."""

    def override(self) -> None:
        """Put a drop-in beside demo.service by hand."""

    def kill(self) -> None:
        """Let demo.service fail."""

    def switch(self) -> None:
        """Hold the lock that switch-to-configuration takes."""

    def leave(self) -> None:
        """Let go of it; the file stays."""


class RealWorld:
    """One of a fleet."""

    def __init__(self, host: FleetHost, writer: HostWriter) -> None:
        self.host = host
        self.writer = writer

    def reset(self) -> None:
        """Undo what a test did."""
        self.sh(f"rm -rf {MASK} {MASK}.d; systemctl daemon-reload")
        self.sh(f"systemctl reset-failed; systemctl start {DEMO}")

    def stop(self) -> None:
        """Use systemctl."""
        self.sh(f"systemctl stop {DEMO}")

    def mask(self) -> None:
        """Use systemctl."""
        self.sh(f"systemctl mask --now --runtime {DEMO}")

    def override(self) -> None:
        """Write the file."""
        text = r"[Service]\nEnvironment=A=1\n"
        self.sh(f"mkdir -p {MASK}.d; printf '{text}' >'{DROP_IN}'")
        self.sh("systemctl daemon-reload")

    def kill(self) -> None:
        """Send a signal."""
        self.sh(f"systemctl kill --signal=KILL {DEMO}")
        self.sh(f"until systemctl is-failed -q {DEMO}; do sleep 0.05; done")

    def switch(self) -> None:
        """Hold it as switch-to-configuration does."""
        self.sh(
            f"mkdir -p /run/nixos; systemd-run -q -u holder flock -n {LOCK} sleep 99"
        )
        self.sh(f"until ! flock -n {LOCK} true; do sleep 0.05; done")

    def leave(self) -> None:
        """End the one who holds it."""
        self.sh("systemctl stop holder")

    def sh(self, script: str) -> None:
        """Run a script inside, without SSH."""
        self.host.exec("sh", "-c", script)


class FakeWorld:
    """The host in memory, told what systemd would do."""

    def __init__(self) -> None:
        units = (fake_unit(DEMO), fake_unit(INSTANCE), fake_unit(TEMPLATE))
        deployed = {unit.name: unit for unit in units}
        part = "/nix/store/part"
        self.fake = FakeHost(
            host=HostName("lufta"),
            running=SYSTEM,
            booted=SYSTEM,
            profile=SYSTEM,
            parts=SystemParts(kernel=part, initrd=part, modules=part, systemd=part),
            units=dict(deployed),
            systems={SYSTEM: deployed},
        )
        self.writer: HostWriter = self.fake

    def stop(self) -> None:
        """Set what systemctl leaves."""
        self.change(active_state="inactive", sub_state="dead")

    def mask(self) -> None:
        """Set what systemctl leaves."""
        self.stop()
        self.change(load_state="masked", fragment_path=MASK, fragment="/dev/null")

    def override(self) -> None:
        """Set what the file causes."""
        self.change(drop_ins=(DROP_IN,), drop_in_files=(DROP_IN,))

    def kill(self) -> None:
        """Set what a signal causes."""
        self.change(active_state="failed", sub_state="failed", result="signal")

    def switch(self) -> None:
        """Set what the probe tells then."""
        self.fake.switching = True

    def leave(self) -> None:
        """Set what the probe tells then."""
        self.fake.switching = False

    def change(self, **fields: object) -> None:
        """Set fields of demo.service."""
        unit = self.fake.units[DEMO]
        self.fake.units[DEMO] = dataclasses.replace(unit, **fields)  # type: ignore[arg-type]


def fake_unit(name: UnitName) -> ObservedUnit:
    file = TEMPLATE if "@" in name else name
    path = f"{FOLDER}/{file}"
    template = name == TEMPLATE
    return ObservedUnit(
        name=name,
        load_state="loaded",
        active_state="inactive" if template else "active",
        sub_state="" if template else "running",
        result="" if template else "success",
        fragment=f"/nix/store/{'u' * 32}-unit-demo/{file}",
        fragment_path=path,
        condition_at=0.0 if template else 1_700_000_100.0,
        invocation="" if template else "0" * 32,
    )


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealWorld]:
    reaper = Reaper()
    with fleets(tmp_path_factory.mktemp("fleets"), reaper) as start:
        fleet = start("lufta")
        settings = SshSettings(**yaml.safe_load(fleet.settings.read_text())["ssh"])
        assert settings.known_hosts is not None
        connections = Connections(settings, known_hosts=settings.known_hosts)
        host = fleet["lufta"]
        host.exec("sh", "-e", "-c", INSTALL)
        target = Target(address=host.address, user=host.user)
        yield RealWorld(host, connections.writer(HostName("lufta"), target))
        connections.close()
    reaper.close()


@pytest.fixture(
    params=[
        "memory",
        pytest.param(
            "fleet",
            marks=[
                pytest.mark.fleet,
                pytest.mark.skipif(os.geteuid() != 0, reason="hosts need root"),
            ],
        ),
    ]
)
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        return FakeWorld()
    found: RealWorld = request.getfixturevalue("real")
    found.reset()
    return found


def look(world: World) -> Observed:
    return probe(world.writer, ASKED, now=1.0)


def repair(world: World, *steps: Step) -> ObservedUnit:
    mend(world.writer, steps, deadline=60, on_line=lambda _: None)
    return look(world).units[DEMO]


def step(kind: StepKind, *files: str) -> Step:
    return Step(kind=kind, unit=DEMO, files=files)


def test_a_service_that_runs(world: World) -> None:
    unit = look(world).units[DEMO]

    assert (unit.load_state, unit.active_state) == ("loaded", "active")
    assert (unit.sub_state, unit.result) == ("running", "success")
    assert unit.fragment_path.endswith(f"/lib/systemd/system/{DEMO}")
    assert unit.fragment.startswith("/nix/store/")
    assert unit.fragment.endswith(f"-unit-demo/{DEMO}")
    assert (unit.drop_ins, unit.drop_in_files, unit.restarts) == ((), (), 0)
    assert unit.condition_met
    assert unit.condition_at > 0
    assert len(unit.invocation) == 32


def test_an_instance_and_its_template(world: World) -> None:
    units = look(world).units

    assert units[INSTANCE].active_state == "active"
    assert units[TEMPLATE].load_state == "loaded"
    assert units[TEMPLATE].active_state == "inactive"
    assert units[TEMPLATE].fragment == units[INSTANCE].fragment
    assert units[TEMPLATE].fragment_path.endswith(f"/lib/systemd/system/{TEMPLATE}")


def test_a_unit_that_is_not_there(world: World) -> None:
    unit = look(world).units[NOWHERE]

    assert (unit.load_state, unit.active_state) == ("not-found", "inactive")
    assert (unit.fragment, unit.condition_met, unit.condition_at) == ("", True, 0.0)


def test_loaded_services_are_there_unasked(world: World) -> None:
    assert probe(world.writer, [], now=1.0).units[DEMO].active_state == "active"


def test_the_host_itself(world: World) -> None:
    observed = look(world)

    assert observed.host == "lufta"
    assert observed.began_at == 1.0
    assert observed.running is not None
    assert observed.running.startswith("/nix/store/")
    assert observed.running == observed.booted == observed.profile
    assert observed.running_parts == observed.booted_parts
    assert len(observed.boot_id) == 36
    assert len(observed.machine_id) == 32
    assert observed.store_free > 0
    assert observed.clock > 1_600_000_000


def test_that_somebody_switches_is_seen_and_does_not_disturb(world: World) -> None:
    assert not look(world).switching

    world.switch()
    seen = [look(world).switching, look(world).switching]
    world.leave()

    assert seen == [True, True]
    assert not look(world).switching


def test_a_stopped_service_is_seen_and_started(world: World) -> None:
    world.stop()
    before = look(world).units[DEMO]
    after = repair(world, step(StepKind.START))

    assert (before.active_state, before.sub_state) == ("inactive", "dead")
    assert before.result == "success"
    assert (after.active_state, after.sub_state) == ("active", "running")


def test_a_failed_service_is_seen_and_started(world: World) -> None:
    world.kill()
    before = look(world).units[DEMO]
    after = repair(world, step(StepKind.START))

    assert (before.active_state, before.result) == ("failed", "signal")
    assert (after.active_state, after.result) == ("active", "success")


def test_a_masked_service_is_seen_and_unmasked(world: World) -> None:
    deployed = look(world).units[DEMO].fragment
    world.mask()
    before = look(world).units[DEMO]
    after = repair(world, step(StepKind.UNMASK, MASK), step(StepKind.START))

    assert (before.load_state, before.active_state) == ("masked", "inactive")
    assert (before.fragment, before.fragment_path) == ("/dev/null", MASK)
    assert (after.load_state, after.active_state) == ("loaded", "active")
    assert after.fragment == deployed


def test_a_drop_in_is_seen_and_removed(world: World) -> None:
    world.override()
    before = look(world).units[DEMO]
    after = repair(world, step(StepKind.REVERT, DROP_IN), step(StepKind.RESTART))

    assert before.drop_ins == before.drop_in_files == (DROP_IN,)
    assert before.active_state == "active"
    assert (after.drop_ins, after.active_state) == ((), "active")


def test_a_service_is_stopped(world: World) -> None:
    assert repair(world, step(StepKind.STOP)).active_state == "inactive"


def test_a_host_that_is_away() -> None:
    world = FakeWorld()
    world.fake.disconnect()

    with pytest.raises(ConnectError, match="lufta"):
        look(world)


def test_a_machine_without_systemd(tmp_path: Path) -> None:
    """Any sshd will do, as long as PID 1 is not systemd."""
    if Path("/run/systemd/system").exists():
        pytest.skip("systemd runs here")
    with running(tmp_path / "sshd") as sshd:
        connections = Connections(sshd.settings(), known_hosts=sshd.known_hosts)
        reader = connections.reader(HostName("odd"), sshd.target)

        with pytest.raises(FactError, match=r"odd: .* systemctl show exited with"):
            probe(reader, [DEMO], now=1.0)
        connections.close()
