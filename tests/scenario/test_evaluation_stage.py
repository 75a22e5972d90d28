"""While a commit is evaluated, hosts are kept as the one before says."""

import threading
from collections.abc import Iterator

import pytest

from reconciler.errors import CommandError, EvaluationError
from reconciler.loop import Done
from reconciler.loop.daemon import Daemon
from reconciler.loop.host_pass import HostPass
from reconciler.model import HostName, UnitName, Verdict
from tests.support.scene import Scene
from tests.support.wait import wait_until
from tests.support.world import toplevel_of

BOT = "withinbot.service"
LUFTA = HostName("lufta")
A = {"lufta": {BOT: "1"}}
B = {"lufta": {BOT: "2"}}
SYSTEM_A, SYSTEM_B = (toplevel_of("lufta", c["lufta"]) for c in (A, B))
SOON = 20.0


class Staged:
    """Passes that leave evaluations for later, which comes when it is told to."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.asked: list[HostName] = []
        self._pass = HostPass(
            scene.world,
            scene.repository,
            scene.evaluations,
            scene.gate,
            later=self.asked.append,
        )

    def run(self) -> object:
        """Make one pass."""
        return self._pass.run(LUFTA)

    def evaluate(self) -> None:
        """Do what the stage does."""
        revision = self.scene.repository.current
        assert revision is not None
        self.scene.evaluations.prepare(revision, LUFTA)


@pytest.fixture
def staged(scene: Scene) -> Staged:
    scene.commit(A)
    assert scene.run("lufta") == Done()
    assert scene.run("lufta") == Done()
    return Staged(scene)


def stop(scene: Scene) -> None:
    scene.machine("lufta").change(BOT, active_state="inactive", sub_state="dead")


def test_a_commit_that_is_being_evaluated_does_not_stall_healing(
    staged: Staged,
) -> None:
    scene, lufta = staged.scene, staged.scene.machine("lufta")
    before = scene.repository.current
    scene.commit(B)
    stop(scene)
    scene.evaluator.evaluated.clear()

    assert staged.run() == Done()

    assert (staged.asked, scene.evaluator.evaluated) == ([LUFTA], [])
    assert lufta.units[UnitName(BOT)].active_state == "active"
    assert lufta.running == SYSTEM_A
    status = scene.status("lufta")
    assert before is not None
    assert (status.commit, status.in_sync) == (before.commit.id, True)

    staged.evaluate()
    scene.clock.advance(60)
    assert staged.run() == Done()
    assert lufta.running == SYSTEM_B
    assert scene.repository.current is not None
    assert scene.status("lufta").commit == scene.repository.current.commit.id


def test_nothing_is_deployed_that_the_newer_commit_may_not_want(
    staged: Staged,
) -> None:
    scene, lufta = staged.scene, staged.scene.machine("lufta")
    scene.commit(B)
    staged.evaluate()  # and before it is deployed, there is another one
    scene.commit({"lufta": {BOT: "3"}})

    assert staged.run() == Done()

    assert lufta.running == SYSTEM_A
    assert len(scene.attempts("lufta")) == 1


def test_a_host_that_was_never_evaluated_waits(scene: Scene) -> None:
    staged = Staged(scene)
    scene.commit(A)

    assert staged.run() == Done()

    assert staged.asked == [LUFTA]
    assert scene.history.statuses() == []
    staged.evaluate()
    assert staged.run() == Done()
    assert scene.machine("lufta").running == SYSTEM_A


@pytest.mark.parametrize(
    "error",
    [
        EvaluationError("undefined variable", host="lufta"),
        CommandError(["nix-instantiate"], status=1, stderr="database is locked"),
        ZeroDivisionError("a bug"),
    ],
)
def test_an_evaluation_that_fails_is_told_and_not_asked_for_at_once(
    staged: Staged, error: Exception
) -> None:
    scene = staged.scene

    def fail() -> None:
        raise error

    scene.evaluator.before_evaluation = fail
    scene.commit(B)
    staged.run()
    staged.evaluate()
    staged.asked.clear()

    staged.run()

    assert staged.asked == [], "or it would go round and round"
    told = "by a bug" if isinstance(error, ZeroDivisionError) else str(error)
    assert told in scene.status("lufta").error
    scene.evaluator.before_evaluation = lambda: None
    scene.clock.advance(4000)
    staged.run()
    assert staged.asked == [LUFTA]


@pytest.fixture
def slow(scene: Scene) -> Iterator[threading.Event]:
    """Return what lets evaluations go on, once it is set."""
    go_on = threading.Event()
    go_on.set()

    def wait() -> None:
        assert go_on.wait(SOON)

    scene.evaluator.before_evaluation = wait
    yield go_on
    go_on.set()


def test_the_daemon_heals_while_it_evaluates(
    scene: Scene, slow: threading.Event
) -> None:
    scene.push(A)
    daemon = Daemon(scene.world)
    lufta = scene.machine("lufta")

    def state() -> tuple[object, bool]:
        found = [one for one in scene.history.statuses() if one.host == LUFTA]
        return (lufta.running, any(one.in_sync for one in found))

    daemon.start()
    try:
        wait_until(lambda: state() == (SYSTEM_A, True), SOON, "the first commit")
        slow.clear()
        new = scene.push(B)
        daemon.look_again()
        wait_until(
            lambda: (last := scene.history.last_commit()) and last.id == new.id,
            SOON,
            "the daemon to see the commit",
        )
        stop(scene)
        daemon.settings_changed()
        wait_until(
            lambda: lufta.units[UnitName(BOT)].active_state == "active",
            SOON,
            "the service to run",
        )
        assert lufta.running == SYSTEM_A
        slow.set()
        wait_until(lambda: state() == (SYSTEM_B, True), SOON, "the second commit")
    finally:
        slow.set()
        daemon.shut()
        assert daemon.join(SOON), "every thread ends"
    assert scene.status("lufta").verdict is Verdict.CONVERGED
