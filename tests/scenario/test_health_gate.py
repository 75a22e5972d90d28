"""Good releases are kept, though looking fails for a moment or something was ill."""

import pytest

from reconciler.errors import ConnectError, FactError, ReconcilerError
from reconciler.loop import Done
from reconciler.model import Guard, HostName, Outcome, UnitName, Verdict
from reconciler.plan import Baseline
from tests.support.scene import Scene
from tests.support.world import FAILED, address_of, toplevel_of

BOT = "withinbot.service"
FACTS = "printerfacts.service"
A = {"lufta": {BOT: "1", FACTS: "1"}}
B = {"lufta": {BOT: "2", FACTS: "1"}}
LUFTA = HostName("lufta")
SYSTEM_A, SYSTEM_B = (toplevel_of("lufta", c["lufta"]) for c in (A, B))
LOST = [
    ConnectError("lufta: cannot connect", host="lufta"),
    FactError("lufta: the answer to the probe is not understood"),
]


@pytest.fixture
def deployed(scene: Scene) -> Scene:
    scene.commit(A)
    assert scene.run("lufta") == Done()
    assert scene.run("lufta") == Done(), "a look that finds nothing to do"
    return scene


@pytest.mark.parametrize("error", LOST, ids=["lost", "not understood"])
@pytest.mark.parametrize("number", [1, 2])
def test_one_look_that_is_lost_condemns_nothing(
    deployed: Scene, number: int, error: ReconcilerError
) -> None:
    """Whichever it is: the one after the switch, or one while the host is watched."""
    lufta, seen = deployed.machine("lufta"), []

    def lose_one() -> None:
        if lufta.running == SYSTEM_B:
            seen.append(error)
            if len(seen) == number:
                raise error

    lufta.before_read = lose_one
    deployed.commit(B)

    assert deployed.run("lufta") == Done()

    assert len(seen) > number, "it was asked again"
    (attempt,) = deployed.attempts("lufta")[1:]
    assert attempt.outcome is Outcome.SUCCEEDED
    assert lufta.profile == SYSTEM_B


def test_looks_that_are_lost_until_the_deadline_are_no_health(deployed: Scene) -> None:
    lufta, looks = deployed.machine("lufta"), []

    def lose_all_but_one() -> None:
        if lufta.running == SYSTEM_B:
            looks.append(deployed.clock())
            if len(looks) > 1:
                raise LOST[0]

    lufta.before_read = lose_all_but_one
    deployed.commit(B)
    deployed.run("lufta")

    (attempt,) = deployed.attempts("lufta")[1:]
    assert attempt.outcome is not Outcome.SUCCEEDED
    policy = deployed.settings.policy
    most = policy.confirm_timeout + 2 * policy.settle
    watched = [time for time in looks if time < looks[0] + most + 5]
    assert watched[-1] - watched[0] > policy.confirm_timeout / 2
    assert lufta.profile == SYSTEM_A


def _tried_before(scene: Scene, baseline: Baseline) -> None:
    """Leave a host as an attempt does that was switched, and not confirmed."""
    guard = Guard(boot_id=baseline.boot_id, baseline=baseline.to_json())
    attempt = scene.history.begin(
        host=LUFTA,
        commit=scene.push(B).id,
        verdict=Verdict.DEPLOY,
        source=SYSTEM_A,
        target=SYSTEM_B,
        guard=guard,
        now=scene.clock(),
    )
    scene.history.end(attempt.id, Outcome.FAILED, message="", now=scene.clock())


@pytest.mark.parametrize("ill_before", [True, False])
def test_the_second_try_knows_what_was_ill_before_the_first(
    deployed: Scene, *, ill_before: bool
) -> None:
    lufta = deployed.machine("lufta")
    files = (lufta.units[UnitName(FACTS)].fragment,)
    broken = {UnitName(FACTS): files} if ill_before else {}
    _tried_before(deployed, Baseline(boot_id=lufta.boot_id, broken=broken))
    deployed.look()
    (deployed.stores / address_of("lufta") / SYSTEM_B.rpartition("/")[2]).touch()
    lufta.running = SYSTEM_B
    lufta.units = dict(deployed.mirror.systems(LUFTA)[SYSTEM_B])
    lufta.dying.add(UnitName(FACTS))
    lufta.change(FACTS, **FAILED)

    deployed.run("lufta")

    attempt = deployed.attempts("lufta")[-1]
    good = Outcome.SUCCEEDED if ill_before else Outcome.ROLLED_BACK
    assert (attempt.verdict, attempt.outcome) == (Verdict.DEPLOY, good)
