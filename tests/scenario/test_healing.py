"""Hosts change by themselves or by hand, and come back, or are only told of."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.loop import Again, Done, Failed
from reconciler.model import (
    DriftKind,
    Mode,
    Outcome,
    Policy,
    StorePath,
    UnitName,
    Verdict,
)
from tests.support.scene import Scene
from tests.support.world import FAILED, FIRST, Machine, toplevel_of, unit_path

BOT = "withinbot.service"
FACTS = "printerfacts.service"
A = {"lufta": {BOT: "1", FACTS: "1"}}
SYSTEM = toplevel_of("lufta", A["lufta"])
CONTROL = f"/etc/systemd/system.control/{BOT}.d/50-MemoryMax.conf"
MASK = f"/run/systemd/system/{BOT}"


@pytest.fixture
def deployed(scene: Scene) -> Scene:
    scene.commit(A)
    assert scene.run("lufta") == Done()
    assert scene.run("lufta") == Done(), "a look that finds nothing to do"
    return scene


def stop(machine: Machine) -> None:
    machine.change(BOT, active_state="inactive", sub_state="dead")


def fail(machine: Machine) -> None:
    machine.change(BOT, **FAILED)


def mask(machine: Machine) -> None:
    machine.change(
        BOT,
        load_state="masked",
        active_state="inactive",
        sub_state="dead",
        fragment="/dev/null",
        fragment_path=MASK,
    )


def override(machine: Machine) -> None:
    machine.change(BOT, drop_ins=(CONTROL,), drop_in_files=(CONTROL,))


def switch_back(machine: Machine) -> None:
    machine.running = FIRST
    machine.units.clear()


def boot_another(machine: Machine) -> None:
    machine.profile = FIRST


HAND = {
    DriftKind.UNIT_STOPPED: stop,
    DriftKind.UNIT_FAILED: fail,
    DriftKind.UNIT_OVERRIDDEN: mask,
    DriftKind.SYSTEM: switch_back,
    DriftKind.BOOT: boot_another,
}
by_hand = pytest.mark.parametrize("by_hand", [*HAND.values(), override])


@by_hand
def test_what_changed_by_hand_is_put_right(
    deployed: Scene, by_hand: Callable[[Machine], None]
) -> None:
    lufta = deployed.machine("lufta")
    by_hand(lufta)

    assert deployed.run("lufta") == Done()

    unit = lufta.units[UnitName(BOT)]
    assert (unit.load_state, unit.active_state) == ("loaded", "active")
    assert (unit.fragment, unit.drop_ins) == (unit_path(BOT, "1"), ())
    assert (lufta.running, lufta.profile) == (SYSTEM, SYSTEM)
    attempt = deployed.attempts("lufta")[-1]
    assert (attempt.verdict, attempt.outcome) == (Verdict.HEAL, Outcome.SUCCEEDED)
    assert deployed.status("lufta").in_sync


def test_starting_one_service_switches_nothing(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    lufta.log.clear()
    stop(lufta)

    deployed.run("lufta")

    assert lufta.log == [f"start {BOT}"]
    steps = deployed.attempts("lufta")[-1].steps
    assert [step.name for step in steps] == [f"start {BOT}", "verify"]


@pytest.mark.parametrize("kind", HAND)
@pytest.mark.parametrize(
    "policy", [Policy(heal=False), Policy(mode=Mode.REPORT)], ids=["no heal", "report"]
)
def test_without_healing_it_is_only_told(
    tmp_path: Path, kind: DriftKind, policy: Policy
) -> None:
    scene = Scene(tmp_path)
    scene.commit(A)
    scene.run("lufta")
    scene.restart(policy)
    scene.look()
    lufta = scene.machine("lufta")
    HAND[kind](lufta)
    before, commands = dataclasses.replace(lufta), lufta.commands

    assert scene.run("lufta") == Done()

    assert lufta.commands == commands
    assert lufta.units == before.units
    assert len(scene.attempts("lufta")) == 1
    status = scene.status("lufta")
    assert status.verdict is Verdict.REPORTED
    assert kind in {drift.kind for drift in status.drifts}
    assert "policy says" in status.error
    assert status.drift_since == scene.clock()
    series = f'reconciler_drift_items{{host="lufta",kind="{kind.value}"}}'
    assert scene.metric(series) == 1
    scene.close()


def test_report_only_deploys_nothing_and_tells_of_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, policy=Policy(mode=Mode.REPORT))
    scene.commit(A)

    assert scene.run("lufta") == Done()

    assert scene.machine("lufta").commands == 0
    assert scene.attempts("lufta") == []
    assert scene.evaluator.built == set()
    assert scene.status("lufta").verdict is Verdict.REPORTED
    scene.close()


def test_without_healing_commits_are_deployed_all_the_same(tmp_path: Path) -> None:
    scene = Scene(tmp_path, policy=Policy(heal=False))
    scene.commit(A)

    scene.run("lufta")

    assert scene.machine("lufta").running == SYSTEM
    scene.close()


def test_a_service_that_dies_again_is_left_alone_longer_each_time(
    deployed: Scene,
) -> None:
    lufta = deployed.machine("lufta")
    lufta.dying.add(UnitName(BOT))
    fail(lufta)
    waits = []
    for _ in range(5):
        assert isinstance(deployed.run("lufta"), Failed)
        tried = len(deployed.attempts("lufta"))
        again = deployed.run("lufta")
        assert isinstance(again, Again)
        assert len(deployed.attempts("lufta")) == tried
        waits.append(again.after)
        deployed.clock.advance(again.after)

    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0]
    assert "unit-failed withinbot.service" in deployed.status("lufta").error


def test_a_service_that_lives_on_ends_the_wait(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    for _ in range(3):
        stop(lufta)
        assert deployed.run("lufta") == Done()
        assert deployed.run("lufta") == Done(), "a look that finds nothing to do"

    assert len(deployed.attempts("lufta")) == 4


def test_drift_since_is_when_it_began(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.commit(A)
    scene.run("lufta")
    scene.restart(Policy(heal=False))
    scene.look()
    stop(scene.machine("lufta"))
    began = scene.clock()

    for _ in range(3):
        scene.run("lufta")
        assert scene.status("lufta").drift_since == began
        scene.clock.advance(30)
    scene.restart(Policy(heal=False))
    scene.look()
    scene.run("lufta")
    assert scene.status("lufta").drift_since == began, "also across a restart"

    scene.machine("lufta").change(BOT, active_state="active")
    scene.run("lufta")
    assert scene.status("lufta").drift_since is None
    assert scene.metric('reconciler_drift_since_timestamp_seconds{host="lufta"}') == 0
    scene.close()


def test_a_system_that_somebody_else_deployed_is_replaced(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    lufta.running = StorePath("/nix/store/5tranger-nixos-system-lufta")

    assert deployed.run("lufta") == Done()

    assert lufta.running == SYSTEM
    assert deployed.attempts("lufta")[-1].verdict is Verdict.HEAL
