"""Commits arrive, and hosts become what they say."""

import pytest

from reconciler.errors import CopyError, EvaluationError
from reconciler.loop import Done, Failed, HostPass
from reconciler.loop.brought import BroughtLater
from reconciler.model import DriftKind, Hold, HostName, Outcome, UnitName, Verdict
from tests.support.scene import Scene
from tests.support.world import FIRST, toplevel_of, unit_path

BOT = "withinbot.service"
LUFTA = HostName("lufta")
FACTS = "printerfacts.service"
A = {"lufta": {BOT: "1"}}
B = {"lufta": {BOT: "2", FACTS: "1"}}


def test_a_first_commit_is_deployed(scene: Scene) -> None:
    commit = scene.commit(A)
    lufta = scene.machine("lufta")

    assert scene.run("lufta") == Done()

    system = toplevel_of("lufta", A["lufta"])
    assert (lufta.running, lufta.profile) == (system, system)
    assert lufta.units[UnitName(BOT)].active_state == "active"
    (attempt,) = scene.attempts("lufta")
    assert attempt.outcome is Outcome.SUCCEEDED
    assert (attempt.source, attempt.target) == (FIRST, system)
    assert (attempt.verdict, attempt.commit) == (Verdict.DEPLOY, commit.id)
    names = [step.name for step in attempt.steps]
    assert names == [
        "build",
        "copy",
        "activate",
        "verify",
        "settle",
        "confirm",
        "verify",
    ]
    status = scene.status("lufta")
    assert status.in_sync
    assert (status.commit, status.running, status.target) == (commit.id, system, system)
    assert (status.units_active, status.units_desired) == (1, 1)
    assert status.drift_since is None
    assert scene.metric('reconciler_host_in_sync{host="lufta"}') == 1
    assert scene.metric(_attempts("succeeded")) == 1


def test_the_log_of_an_attempt_has_what_nix_and_the_switch_said(scene: Scene) -> None:
    scene.commit(A)
    scene.run("lufta")

    (attempt,) = scene.attempts("lufta")

    log = scene.history.attempt_log(attempt.id)
    assert any(line.startswith("building '") for line in log)
    assert "activating" in log


def test_the_look_after_a_switch_is_over_a_new_connection(scene: Scene) -> None:
    scene.commit(A)

    scene.run("lufta")

    assert scene.connections.reconnected == ["lufta"]


def test_nothing_to_do_is_silent(scene: Scene) -> None:
    scene.commit(A)
    scene.run("lufta")
    before, evaluated = scene.records(), list(scene.evaluator.evaluated)
    commands = scene.machine("lufta").commands

    for _ in range(3):
        scene.clock.advance(30)
        scene.look()
        assert scene.run("lufta") == Done()

    assert scene.records() == before
    assert scene.evaluator.evaluated == evaluated
    assert scene.machine("lufta").commands == commands
    assert scene.status("lufta").updated_at == scene.clock()


def test_a_commit_that_does_not_change_a_host_does_not_touch_it(scene: Scene) -> None:
    scene.commit({**A, "keanu": {FACTS: "1"}})
    scene.run("lufta")
    scene.run("keanu")
    commands = scene.machine("lufta").commands

    other = scene.commit({**A, "keanu": {FACTS: "2"}})

    assert scene.run("lufta") == Done()
    assert scene.run("keanu") == Done()
    assert scene.machine("lufta").commands == commands
    assert len(scene.attempts("lufta")) == 1
    assert scene.status("lufta").commit == other.id
    assert scene.status("keanu").in_sync


def test_a_revert_brings_the_old_system_back(scene: Scene) -> None:
    """The running system counts, not what was applied at some time before."""
    lufta = scene.machine("lufta")
    for content in (A, B, A):
        scene.commit(content)
        assert scene.run("lufta") == Done()
        system = toplevel_of("lufta", content["lufta"])
        assert (lufta.running, lufta.profile) == (system, system)

    assert UnitName(FACTS) not in lufta.units
    assert lufta.units[UnitName(BOT)].fragment == unit_path(BOT, "1")
    assert [one.verdict for one in scene.attempts("lufta")] == [Verdict.DEPLOY] * 3
    # The tree of the revert is the first one's: Nix need not be asked again.
    assert len(scene.evaluator.evaluated) == 2


def test_a_newer_commit_supersedes_an_attempt_before_the_switch(scene: Scene) -> None:
    scene.commit(A)
    scene.run("lufta")
    lufta = scene.machine("lufta")
    before, commands = (lufta.running, lufta.profile), lufta.commands
    scene.commit(B)
    scene.evaluator.before_build = lambda: _arrive(scene)

    scene.run("lufta")

    superseded = scene.attempts("lufta")[-1]
    assert superseded.outcome is Outcome.INTERRUPTED
    assert "newer commit" in superseded.message
    assert (lufta.running, lufta.profile) == before
    assert lufta.commands == commands + 2, "only protected what was copied"
    # It was nobody's failure: the next attempt need not wait.
    assert scene.run("lufta") == Done()
    assert lufta.running == toplevel_of("lufta", {BOT: "3"})
    assert scene.attempts("lufta")[-1].outcome is Outcome.SUCCEEDED


def _arrive(scene: Scene) -> None:
    scene.evaluator.before_build = lambda: None
    scene.push({"lufta": {BOT: "3"}})
    scene.repository.look()


def test_a_commit_that_arrives_after_the_switch_need_not_wait(scene: Scene) -> None:
    """The attempt under way ends, and the next one begins at once."""
    scene.commit(A)
    lufta = scene.machine("lufta")

    def arrive() -> None:
        if lufta.running == toplevel_of("lufta", A["lufta"]):
            lufta.before_read = lambda: None
            scene.commit(B)

    lufta.before_read = arrive
    scene.run("lufta")
    assert lufta.profile == toplevel_of("lufta", A["lufta"])

    assert scene.run("lufta") == Done()
    assert lufta.profile == toplevel_of("lufta", B["lufta"])


def test_a_copy_that_fails_leaves_the_host_as_it_was(scene: Scene) -> None:
    scene.commit(A)
    lufta = scene.machine("lufta")

    with scene.full_disk():
        result = scene.run("lufta")

    assert isinstance(result, Failed)
    assert isinstance(result.error, CopyError)
    assert "No space left on device" in scene.status("lufta").error
    assert (lufta.running, lufta.commands) == (FIRST, 2)
    assert lufta.protected == toplevel_of("lufta", A["lufta"])
    assert lufta.protected_before == FIRST
    scene.clock.advance(10)
    assert scene.run("lufta") == Done()
    assert scene.status("lufta").error == ""


def test_a_host_that_does_not_evaluate_fails_alone(scene: Scene) -> None:
    error = EvaluationError("undefined variable 'foo'", host="keanu")

    scene.commit({**A, "keanu": error})

    assert scene.run("lufta") == Done()
    assert scene.run("keanu") == Failed(error)
    status = scene.status("keanu")
    assert (status.verdict, status.error) == (None, "undefined variable 'foo'")
    assert scene.machine("keanu").commands == 0


def test_lead_time_is_observed_for_commits_that_were_seen_to_arrive(
    scene: Scene,
) -> None:
    """A restart must not count the age of a commit that it found there already."""
    count = "reconciler_commit_to_converged_seconds_count"
    scene.commit(A)
    scene.run("lufta")
    assert scene.metric(count) == 0

    scene.commit(B)
    scene.clock.advance(4)
    scene.run("lufta")
    scene.run("lufta")

    assert scene.metric(count) == 1
    settled = 4 + scene.settings.policy.settle
    assert scene.metric("reconciler_commit_to_converged_seconds_sum") == settled


def test_lead_time_is_that_of_hosts_that_the_commit_was_deployed_to(
    scene: Scene,
) -> None:
    """Not of those that it does not change, nor of those that were held meanwhile."""
    count = "reconciler_commit_to_converged_seconds_count"
    scene.commit({**A, "keanu": {BOT: "1"}})
    scene.run("lufta")
    scene.run("keanu")
    now = scene.clock()
    scene.history.hold(Hold(host=LUFTA, reason="disk", actor="cadey", since=now))
    scene.commit({**B, "keanu": {BOT: "1"}})

    assert scene.run("keanu") == Done()
    assert scene.run("lufta") == Done()
    scene.clock.advance(86400)
    scene.history.release(LUFTA, now=scene.clock())
    assert scene.run("lufta") == Done()

    assert scene.status("lufta").in_sync
    assert scene.metric(count) == 0


def test_a_restart_evaluates_nothing_again(scene: Scene) -> None:
    scene.commit(A)
    scene.run("lufta")
    evaluated = list(scene.evaluator.evaluated)

    scene.restart()
    scene.look()

    assert scene.run("lufta") == Done()
    assert scene.evaluator.evaluated == evaluated
    assert len(scene.attempts("lufta")) == 1


def test_a_restart_finishes_what_a_switch_began(scene: Scene) -> None:
    """Died between the switch and the boot default: the latter is still to be set."""
    scene.commit(A)
    scene.run("lufta")
    scene.commit(B)
    lufta = scene.machine("lufta")
    lufta.before_read = lambda: _die(scene, toplevel_of("lufta", B["lufta"]))
    with pytest.raises(PowerCutError):
        scene.run("lufta")
    assert lufta.profile == toplevel_of("lufta", A["lufta"])

    lufta.before_read = lambda: None
    scene.restart()
    scene.look()

    assert scene.run("lufta") == Done()
    assert lufta.profile == toplevel_of("lufta", B["lufta"])
    assert scene.attempts("lufta")[-1].verdict is Verdict.DEPLOY


class PowerCutError(BaseException):
    """The process ends at once, as for KeyboardInterrupt."""


def _die(scene: Scene, system: str) -> None:
    if scene.machine("lufta").running == system:
        raise PowerCutError


def test_a_crash_in_an_attempt_is_recorded_as_interrupted(scene: Scene) -> None:
    def crash() -> None:
        raise PowerCutError

    scene.commit(A)
    scene.evaluator.before_build = crash

    with pytest.raises(PowerCutError):
        scene.run("lufta")

    (attempt,) = scene.attempts("lufta")
    assert attempt.outcome is Outcome.INTERRUPTED
    assert scene.history.unfinished() == []
    assert scene.machine("lufta").commands == 0
    assert [step.name for step in attempt.steps] == ["build"]


def test_units_of_a_switch_are_named_in_the_plan(scene: Scene) -> None:
    """While the change is due, status tells what will become of which unit."""
    scene.commit(A)
    scene.run("lufta")
    scene.commit(B)

    with scene.full_disk():
        scene.run("lufta")

    drifts = {(one.kind, one.subject) for one in scene.status("lufta").drifts}
    assert drifts == {
        (DriftKind.SYSTEM, ""),
        (DriftKind.UNIT_CHANGED, BOT),
        (DriftKind.UNIT_MISSING, FACTS),
    }


def _attempts(outcome: str) -> str:
    return f'reconciler_attempts_total{{host="lufta",outcome="{outcome}"}}'


def test_what_an_attempt_brought_is_worked_out_by_the_next_process(
    scene: Scene,
) -> None:
    """A record is made at the end of the attempt, and whoever comes goes on from it."""
    scene.commit(A)
    later = BroughtLater(scene.world, scene.evaluations)
    one_pass = HostPass(
        scene.world, scene.repository, scene.evaluations, scene.gate, brought=later
    )
    one_pass.run(LUFTA)
    (attempt,) = scene.attempts("lufta")
    assert scene.history.brought.pending() == [attempt.id]

    scene.restart()

    assert BroughtLater(scene.world, scene.evaluations).turn()
    assert not scene.history.brought.pending()
