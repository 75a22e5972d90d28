"""A generation that a person wants back: its keys, its hold, and how it is judged."""

from collections.abc import Callable

import pytest

from reconciler.errors import StoppingError
from reconciler.loop import Done, Rollback
from reconciler.model import (
    Attempt,
    Hold,
    HostName,
    Outcome,
    StorePath,
    UnitName,
    Verdict,
)
from reconciler.observed import Generation
from reconciler.revisions.last_address import last_known
from tests.support.scene import Scene
from tests.support.world import do_nothing, toplevel_of

BOT = "withinbot.service"
TOKEN = "/run/keys/token"  # noqa: S105 -- a path
A = {"lufta": {BOT: "1", TOKEN: "old"}}
B = {"lufta": {BOT: "2", TOKEN: "new"}}
C = {"lufta": {BOT: "3"}}
LUFTA = HostName("lufta")
SYSTEM_A, SYSTEM_B, SYSTEM_C = (toplevel_of("lufta", c["lufta"]) for c in (A, B, C))


@pytest.fixture
def deployed(scene: Scene) -> Scene:
    """Deploy A, and then B."""
    for content in (A, B):
        scene.commit(content)
        assert scene.run("lufta") == Done()
    return scene


def rollback(
    scene: Scene, system: StorePath = SYSTEM_A, *, keep_keys: bool = False
) -> Rollback:
    hold = Hold(host=LUFTA, reason="B is bad", actor="cadey", since=scene.clock())
    return Rollback(
        world=scene.world,
        desired=last_known(scene.world, scene.evaluations, LUFTA, lambda: None),
        generation=Generation(number=1, toplevel=system, made_at=0.0),
        hold=hold,
        keep_keys=keep_keys,
    )


def token(scene: Scene) -> bytes:
    return scene.machine("lufta").keys.files[TOKEN].content


# --- keys ------------------------------------------------------------------------


def test_a_generation_comes_with_the_keys_of_its_commit(deployed: Scene) -> None:
    assert token(deployed) == b"new"

    ended = rollback(deployed).run()

    assert ended.outcome is Outcome.SUCCEEDED
    assert token(deployed) == b"old"
    commit = deployed.mirror.commits[0].id
    assert ended.message.endswith(f"; with the keys of commit {commit[:8]}")
    assert deployed.run("lufta") == Done()
    assert deployed.status("lufta").verdict is Verdict.HELD
    assert token(deployed) == b"old", "the loop leaves them"


def test_keys_that_a_generation_needs_come_before_it(deployed: Scene) -> None:
    """Its service waits for its key, and the switch for the service."""
    deployed.commit(C)
    assert deployed.run("lufta") == Done()
    lufta = deployed.machine("lufta")
    assert TOKEN not in lufta.keys.files

    ended = rollback(deployed).run()

    assert ended.outcome is Outcome.SUCCEEDED
    names = [step.name for step in ended.steps]
    assert names.index("deliver keys") < names.index("activate")
    assert token(deployed) == b"old"


def test_what_a_generation_does_not_declare_stays(deployed: Scene) -> None:
    """It may be wanted again in a moment."""
    deployed.commit(C)
    deployed.run("lufta")
    deployed.commit(B)
    assert deployed.run("lufta") == Done()

    assert rollback(deployed, SYSTEM_C).run().outcome is Outcome.SUCCEEDED

    assert token(deployed) == b"new"


def test_keys_stay_if_a_person_says_so(deployed: Scene) -> None:
    ended = rollback(deployed, keep_keys=True).run()

    assert ended.outcome is Outcome.SUCCEEDED
    assert ended.message.endswith("; keys stay as they are")
    assert token(deployed) == b"new"


def test_keys_stay_where_the_commit_cannot_be_had(deployed: Scene) -> None:
    """Say the branch was rewritten: nothing of that keeps anybody from going back."""
    del deployed.mirror.commits[0]

    ended = rollback(deployed).run()

    assert ended.outcome is Outcome.SUCCEEDED
    assert "; keys stay as they are: no branch, tag or commit" in ended.message
    assert token(deployed) == b"new"


def test_a_key_that_cannot_be_delivered_fails_it_before_the_switch(
    deployed: Scene,
) -> None:
    deployed.machine("lufta").keys.full = True

    ended = rollback(deployed).run()

    assert ended.outcome is not Outcome.SUCCEEDED
    assert "reconciler rollback lufta --keep-keys" in ended.message
    assert "activate" not in [step.name for step in ended.steps]
    assert deployed.machine("lufta").running == SYSTEM_B
    assert deployed.history.hold_of(LUFTA, deployed.clock()) is None


def test_an_evaluation_that_is_cut_short_leaves_no_hold(deployed: Scene) -> None:
    def cut() -> None:
        what = "evaluating"
        raise StoppingError(what)

    key = deployed.evaluator.cache_key(deployed.mirror.commits[0].tree, LUFTA)
    deployed.history.save_evaluation(key, "", now=0)  # nothing is known
    deployed.evaluator.before_evaluation = cut

    ended = rollback(deployed).run()

    assert ended.outcome is Outcome.INTERRUPTED
    assert deployed.history.hold_of(LUFTA, deployed.clock()) is None


# --- one that was left -----------------------------------------------------------


@pytest.fixture
def left(deployed: Scene) -> Scene:
    """Let the process end once A runs again, while its guardian waits."""
    lufta = deployed.machine("lufta")

    def end_once_it_is_switched() -> None:
        if lufta.running == SYSTEM_A:
            what = "looking"
            raise StoppingError(what)

    lufta.before_read = end_once_it_is_switched
    with pytest.raises(StoppingError):
        rollback(deployed).run()
    assert lufta.guard is not None
    lufta.before_read = do_nothing
    deployed.restart()
    deployed.look()
    return deployed


def last(scene: Scene) -> Attempt:
    return scene.attempts("lufta")[-1]


def reason(scene: Scene) -> str | None:
    hold = scene.history.hold_of(LUFTA, scene.clock())
    return hold.reason if hold else None


def test_it_is_followed_and_confirmed(left: Scene) -> None:
    """What a person ordered is not what the commit says, and done all the same."""
    left.run("lufta")

    assert last(left).outcome is Outcome.SUCCEEDED
    assert "taken back to generation 1 by cadey" in last(left).message
    lufta = left.machine("lufta")
    assert (lufta.running, lufta.profile) == (SYSTEM_A, SYSTEM_A)
    assert reason(left) == "B is bad"
    assert token(left) == b"old"


def test_that_its_units_fail_is_told_and_not_judged(left: Scene) -> None:
    left.machine("lufta").dying.add(UnitName(BOT))

    left.run("lufta")

    assert last(left).outcome is Outcome.SUCCEEDED
    assert f"these units have failed there: {BOT}" in last(left).message


def went_back(scene: Scene) -> None:
    """Nobody came, and the guardian returned to B."""
    scene.machine("lufta").expire()


def was_booted(scene: Scene) -> None:
    scene.machine("lufta").reboot()


@pytest.mark.parametrize("ends", [went_back, was_booted])
def test_one_that_failed_leaves_no_hold(
    left: Scene, ends: Callable[[Scene], None]
) -> None:
    ends(left)

    left.run("lufta")

    tried = left.attempts("lufta")[2]
    assert tried.outcome is Outcome.ROLLED_BACK
    assert left.machine("lufta").running == SYSTEM_B
    assert reason(left) is None
    assert left.history.quarantines() == []


def test_one_that_failed_leaves_what_somebody_ordered_meanwhile(left: Scene) -> None:
    left.history.hold(
        Hold(host=LUFTA, reason="the disk", actor="ada", since=left.clock() + 1)
    )
    went_back(left)

    left.run("lufta")

    assert reason(left) == "the disk"


def test_one_that_failed_does_not_hold_what_somebody_released(left: Scene) -> None:
    left.history.release(LUFTA, now=left.clock(), actor="ada")
    went_back(left)

    left.run("lufta")

    assert reason(left) is None


def test_one_that_failed_leaves_the_hold_from_before(deployed: Scene) -> None:
    before = Hold(host=LUFTA, reason="before", actor="ada", since=deployed.clock())
    deployed.history.hold(before)
    deployed.clock.advance(1)
    lufta = deployed.machine("lufta")

    def go_back_out_of_sight() -> None:
        if lufta.running == SYSTEM_A:
            lufta.expire()
            what = "looking"
            raise StoppingError(what)

    lufta.before_read = go_back_out_of_sight
    with pytest.raises(StoppingError):
        rollback(deployed).run()
    assert reason(deployed) == "B is bad", "until it is known how it ended"
    lufta.before_read = do_nothing
    deployed.restart()
    deployed.look()

    deployed.run("lufta")

    assert last(deployed).outcome is Outcome.ROLLED_BACK
    assert deployed.history.hold_of(LUFTA, deployed.clock()) == before
