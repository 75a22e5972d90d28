"""A machine that deploys itself: nobody comes to it over the network."""

import pytest

from reconciler.loop import Done
from reconciler.model import HostName, Outcome, Reason, Target
from reconciler.revisions.last_address import last_known
from reconciler.settings import HostSettings, Transport
from reconciler.world import last_way, note_way
from tests.support.scene import Scene
from tests.support.world import toplevel_of

BOT = "withinbot.service"
A = {"lufta": {BOT: "1"}}
B = {"lufta": {BOT: "2"}}
LUFTA = HostName("lufta")
SYSTEM_A, SYSTEM_B = (toplevel_of("lufta", one["lufta"]) for one in (A, B))
AWAY = "the repository git.example.org:infra cannot be read: no route to host"


@pytest.fixture
def itself(scene: Scene) -> Scene:
    """Return a scene whose one machine, in sync, is the one that we run on."""
    scene.evaluator.local.add("lufta")
    scene.commit(A)
    assert scene.run("lufta") == Done()
    assert scene.run("lufta") == Done()
    return scene


def cut_by(scene: Scene, *systems: str) -> None:
    """Have the network be away while one of *systems* runs."""
    lufta = scene.machine("lufta")
    scene.mirror.unreached = lambda: AWAY if lufta.running in systems else ""


def test_a_commit_that_cuts_the_network_goes_back(itself: Scene) -> None:
    """All else is healthy, and whoever confirms is on the machine itself."""
    cut_by(itself, SYSTEM_B)
    itself.commit(B)

    itself.run("lufta")

    lufta, attempt = itself.machine("lufta"), itself.attempts("lufta")[-1]
    assert (attempt.outcome, attempt.reason) == (
        Outcome.ROLLED_BACK,
        Reason.UNCONFIRMED,
    )
    assert "lufta was cut off by the switch" in attempt.message
    assert AWAY in attempt.message
    assert (lufta.running, lufta.profile) == (SYSTEM_A, SYSTEM_A)


def test_a_network_that_takes_its_time_is_waited_for(itself: Scene) -> None:
    lufta, asked = itself.machine("lufta"), []

    def answer() -> str:
        if lufta.running == SYSTEM_B:
            asked.append(itself.clock())
        return AWAY if 0 < len(asked) < 5 else ""

    itself.mirror.unreached = answer
    itself.commit(B)

    assert itself.run("lufta") == Done()
    assert itself.attempts("lufta")[-1].outcome is Outcome.SUCCEEDED
    assert len(asked) == 5


def test_nothing_is_switched_while_nobody_could_tell(itself: Scene) -> None:
    """A laptop that is carried away after it has read the commit."""
    cut_by(itself, SYSTEM_A)
    itself.commit(B)

    itself.run("lufta")

    attempt = itself.attempts("lufta")[-1]
    assert (attempt.outcome, attempt.reason) == (Outcome.FAILED, None)
    assert "nothing was touched" in attempt.message
    assert itself.machine("lufta").running == SYSTEM_A

    cut_by(itself)
    itself.clock.advance(3600)

    assert itself.run("lufta") == Done()
    assert itself.machine("lufta").running == SYSTEM_B


def test_the_way_back_to_what_was_in_sync_needs_no_network(itself: Scene) -> None:
    """That may be what brings it back."""
    itself.machine("lufta").running = SYSTEM_B
    itself.mirror.unreached = lambda: AWAY

    assert itself.run("lufta") == Done()

    assert itself.attempts("lufta")[-1].outcome is Outcome.SUCCEEDED
    assert itself.machine("lufta").running == SYSTEM_A


def test_others_are_not_asked_for_the_repository(scene: Scene) -> None:
    """Over SSH, who confirms has come over the network."""
    scene.mirror.unreached = lambda: AWAY
    scene.commit(A)

    assert scene.run("lufta") == Done()


def test_a_machine_that_slept_goes_to_the_newest_commit_alone(itself: Scene) -> None:
    between = [{"lufta": {BOT: f"{number}"}} for number in range(10, 15)]
    for content in between:
        itself.push(content)
    itself.commit(B)

    assert itself.run("lufta") == Done()

    targets = [one.target for one in itself.attempts("lufta")]
    assert targets[-1] == SYSTEM_B
    gone = {toplevel_of("lufta", one["lufta"]) for one in between}
    assert not gone & set(targets)
    assert itself.evaluator.evaluated.count(LUFTA) == 2


def uses(scene: Scene, host: HostSettings) -> None:
    """Have the settings say that of the one host."""
    settings, policy = scene.world.live.now
    hosts = {"lufta": host}
    scene.world.live.use(settings.model_copy(update={"hosts": hosts}), policy)


def test_how_it_was_reached_before_counts_only_over_ssh(scene: Scene) -> None:
    """The settings say that it is this machine, and may say so no more."""
    scene.commit(A)
    scene.run("lufta")
    over_ssh = last_way(scene.world, LUFTA)
    assert over_ssh is not None

    uses(scene, HostSettings(transport=Transport.LOCAL))

    assert last_way(scene.world, LUFTA) is None
    known = last_known(scene.world, scene.evaluations, LUFTA, lambda: None)
    assert known.target == Target.here(known.target.escalation)
    note_way(scene.world, LUFTA, SYSTEM_A, known.target)

    uses(scene, HostSettings())

    assert last_way(scene.world, LUFTA) == over_ssh
    known = last_known(scene.world, scene.evaluations, LUFTA, lambda: None)
    assert known.target == over_ssh


def test_what_was_evaluated_for_here_leads_nowhere_else(itself: Scene) -> None:
    """Where the settings changed and nothing was evaluated since."""
    known = last_known(itself.world, itself.evaluations, LUFTA, lambda: None)
    assert not known.target.address
