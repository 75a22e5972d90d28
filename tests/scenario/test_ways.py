"""Commits that move the SSH server: reached as before, confirmed by the new way."""

from pathlib import Path

import pytest

from reconciler.loop import Done
from reconciler.loop.rollback import Rollback
from reconciler.model import Hold, HostName, Outcome, UnitName
from reconciler.observed import Generation
from reconciler.revisions.last_address import last_known
from reconciler.settings import HostSettings
from reconciler.world import last_way, note_way
from tests.support.scene import Scene
from tests.support.world import toplevel_of

BOT = "withinbot.service"
A = {"lufta": {BOT: "1"}}
B = {"lufta": {BOT: "2"}}
LUFTA = HostName("lufta")
SYSTEM_A, SYSTEM_B = (toplevel_of("lufta", commit["lufta"]) for commit in (A, B))
PORT = 2222


@pytest.fixture
def deployed(scene: Scene) -> Scene:
    """Deploy A at port 22; B says another one, and its SSH server is there."""
    scene.commit(A)
    assert scene.run("lufta") == Done()
    scene.evaluator.ports[SYSTEM_B] = PORT
    scene.machine("lufta").ports[SYSTEM_B] = PORT
    return scene


def port(scene: Scene) -> int:
    way = last_way(scene.world, LUFTA)
    assert way is not None
    return way.port


def test_it_is_switched_by_the_old_way_and_confirmed_by_the_new_one(
    deployed: Scene,
) -> None:
    assert port(deployed) == 22
    deployed.commit(B)

    assert deployed.run("lufta") == Done()

    assert deployed.attempts("lufta")[-1].outcome is Outcome.SUCCEEDED
    assert deployed.machine("lufta").profile == SYSTEM_B
    # At once: the next commit may move it again.
    assert port(deployed) == PORT


def test_it_is_kept_whole_where_it_is_if_it_never_gets_there(deployed: Scene) -> None:
    deployed.machine("lufta").ports.clear()
    deployed.commit(B)

    deployed.run("lufta")

    ended = deployed.attempts("lufta")[-1]
    assert ended.outcome is Outcome.ROLLED_BACK
    assert f":{PORT}: Connection refused" in ended.message
    assert deployed.machine("lufta").running == SYSTEM_A
    assert port(deployed) == 22
    # Not tried again so soon; what it runs is healed meanwhile.
    for _ in range(3):
        deployed.clock.advance(4000)
        deployed.run("lufta")
    assert deployed.status("lufta").quarantine is not None
    deployed.machine("lufta").change(BOT, active_state="inactive")
    deployed.clock.advance(4000)
    deployed.run("lufta")
    assert deployed.machine("lufta").units[UnitName(BOT)].active_state == "active"


def test_what_goes_back_after_a_restart_is_found_where_it_was(deployed: Scene) -> None:
    """It was met at the new port by then, and that was not to stay."""
    deployed.commit(B)
    deployed.world.stopping.set()
    with pytest.raises(Exception, match="the program is stopping"):
        deployed.run("lufta")
    deployed.restart()
    deployed.look()
    assert deployed.machine("lufta").running == SYSTEM_B
    deployed.machine("lufta").dying.add(UnitName(BOT))

    deployed.run("lufta")

    assert deployed.history.unfinished() == []
    assert deployed.attempts("lufta")[-1].outcome is Outcome.ROLLED_BACK
    assert deployed.machine("lufta").running == SYSTEM_A
    deployed.run("lufta")
    assert deployed.status("lufta").reachable
    assert port(deployed) == 22


def test_the_key_to_come_with_is_that_of_the_settings_of_now(deployed: Scene) -> None:
    """And not the one that a way was remembered with, which may be gone."""
    for name in ("old", "new"):
        settings, policy = deployed.world.live.now
        hosts = {"lufta": HostSettings(identity=Path(f"/keys/{name}"))}
        deployed.world.live.use(settings.model_copy(update={"hosts": hosts}), policy)
        way = last_way(deployed.world, LUFTA)
        assert way is not None
        assert way.identity == f"/keys/{name}"
        note_way(deployed.world, LUFTA, SYSTEM_A, way)


def test_a_generation_is_gone_back_to_by_its_own_way(deployed: Scene) -> None:
    deployed.commit(B)
    deployed.run("lufta")
    deployed.run("lufta")
    world = deployed.world
    here = last_known(world, deployed.evaluations, LUFTA, lambda: None)
    assert here.target.port == PORT

    ended = Rollback(
        world=world,
        desired=here,
        generation=Generation(number=1, toplevel=SYSTEM_A, made_at=0.0),
        hold=Hold(host=LUFTA, reason="back", actor="ada", since=deployed.clock()),
    ).run()

    assert ended.outcome is Outcome.SUCCEEDED
    assert deployed.machine("lufta").running == SYSTEM_A
    assert port(deployed) == 22
