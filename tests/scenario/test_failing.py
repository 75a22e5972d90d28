"""What goes wrong costs what it must and no more."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.attempt import RolledBackError
from reconciler.errors import (
    BuildError,
    ConnectError,
    EvaluationError,
    HostBusyError,
)
from reconciler.history import Declared, History
from reconciler.loop import Again, Done, Failed
from reconciler.model import (
    Base,
    Commit,
    CommitId,
    DesiredKey,
    DriftKind,
    HostName,
    KeyOrigin,
    Outcome,
    Reason,
    UnitName,
    Verdict,
)
from reconciler.settings import HostSettings
from tests.support.scene import Scene
from tests.support.wait import wait_until
from tests.support.world import FAILED, FIRST, toplevel_of

BOT = "withinbot.service"
FACTS = "printerfacts.service"
A = {"lufta": {BOT: "1", FACTS: "1"}}
B = {"lufta": {BOT: "2", FACTS: "1"}}
C = {"lufta": {BOT: "3", FACTS: "1"}}
LUFTA = HostName("lufta")
SYSTEM_A, SYSTEM_B, SYSTEM_C = (toplevel_of("lufta", c["lufta"]) for c in (A, B, C))
ERROR = EvaluationError("syntax error, unexpected '}'", host="lufta")


@pytest.fixture
def deployed(scene: Scene) -> Scene:
    scene.commit(A)
    assert scene.run("lufta") == Done()
    assert scene.run("lufta") == Done(), "a look that finds nothing to do"
    return scene


# --- where a host is -------------------------------------------------------------


def test_a_host_of_which_nobody_says_where_it_is_is_left_alone_and_no_error(
    scene: Scene,
) -> None:
    scene.evaluator.unaddressed.add("lufta")
    scene.commit(A)

    assert scene.run("lufta") == Done()

    (status,) = scene.world.history.statuses()
    assert status.verdict is Verdict.NO_ADDRESS
    assert status.error == ""
    assert not status.is_away
    assert 'reconciler_host_up{host="lufta"}' not in scene.metrics.render()[0].decode()


def test_a_host_that_gets_an_address_without_a_commit_is_watched(scene: Scene) -> None:
    """By `hosts` of the settings; it had no series then, and so no alert."""
    scene.evaluator.unaddressed.add("lufta")
    scene.commit(A)
    scene.run("lufta")

    scene.evaluator.unaddressed.clear()
    scene.evaluator.override({"lufta": HostSettings(address="127.0.80.1")})

    assert scene.run("lufta") == Done()
    assert scene.metric('reconciler_host_up{host="lufta"}') == 1


# --- building and switching ------------------------------------------------------


def test_a_build_that_fails_is_tried_again_and_the_host_untouched(
    deployed: Scene,
) -> None:
    lufta = deployed.machine("lufta")
    commands = lufta.commands
    deployed.evaluator.build_error = BuildError("gcc was not pleased", host="lufta")
    deployed.commit(B)

    assert isinstance(deployed.run("lufta"), Failed)

    assert (lufta.commands, lufta.running) == (commands, SYSTEM_A)
    attempt = deployed.attempts("lufta")[-1]
    assert (attempt.outcome, attempt.message) == (
        Outcome.FAILED,
        "gcc was not pleased",
    )
    (build,) = attempt.steps
    assert (build.name, build.error) == ("build", "gcc was not pleased")
    deployed.evaluator.build_error = None
    deployed.clock.advance(10)
    assert deployed.run("lufta") == Done()
    assert lufta.running == SYSTEM_B


def test_a_switch_that_fails_leaves_the_boot_default(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    deployed.commit(B)
    lufta.switch_status = 2

    result = deployed.run("lufta")

    assert isinstance(result, Failed)
    assert isinstance(result.error, RolledBackError)
    attempt = deployed.attempts("lufta")[-1]
    assert attempt.outcome is Outcome.ROLLED_BACK
    assert attempt.reason is Reason.SWITCH_FAILED
    assert "exited with status 2" in attempt.message
    assert (lufta.running, lufta.profile) == (SYSTEM_A, SYSTEM_A)
    assert not [line for line in lufta.log if line == f"boot {SYSTEM_B}"]
    status = deployed.status("lufta")
    assert not status.in_sync
    assert "exited with status 2" in status.error


def test_a_host_that_cannot_go_back_is_taken_back_later(deployed: Scene) -> None:
    """It is left half-way, so the new system is not tried again, whatever happens."""
    lufta = deployed.machine("lufta")
    deployed.commit(B)
    lufta.dying.add(UnitName(BOT))
    lufta.stuck = True

    deployed.run("lufta")

    attempt = deployed.attempts("lufta")[-1]
    assert (attempt.outcome, attempt.reason) == (Outcome.FAILED, Reason.STUCK)
    assert lufta.running == SYSTEM_B
    assert deployed.status("lufta").quarantine
    lufta.dying.clear()
    lufta.switch_status = 1
    deployed.clock.advance(10)
    deployed.run("lufta")
    again = deployed.attempts("lufta")[-1]
    assert again.id != attempt.id
    assert (again.source, again.target) == (SYSTEM_A, SYSTEM_A)
    assert again.outcome is not Outcome.SUCCEEDED
    lufta.switch_status, lufta.stuck = 0, False
    deployed.clock.advance(60)
    deployed.run("lufta")
    assert (lufta.running, lufta.profile) == (SYSTEM_A, SYSTEM_A)
    assert deployed.attempts("lufta")[-1].outcome is Outcome.SUCCEEDED
    deployed.clock.advance(1800)
    count = len(deployed.attempts("lufta"))
    deployed.run("lufta")
    assert len(deployed.attempts("lufta")) == count
    assert lufta.running == SYSTEM_A


def test_one_that_updates_itself_is_taken_back_later_as_well(scene: Scene) -> None:
    scene.evaluator.base = Base(updaters=("system.autoUpgrade",))
    scene.commit(A)
    assert scene.run("lufta") == Done()
    assert scene.run("lufta") == Done()
    lufta = scene.machine("lufta")
    scene.commit(B)
    lufta.dying.add(UnitName(BOT))
    lufta.stuck = True
    scene.run("lufta")
    assert lufta.running == SYSTEM_B
    lufta.dying.clear()
    lufta.stuck = False
    scene.clock.advance(60)

    scene.run("lufta")

    assert (lufta.running, lufta.profile) == (SYSTEM_A, SYSTEM_A)


def test_attempts_that_fail_wait_longer_each_time(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    deployed.commit(B)
    lufta.switch_status, lufta.switch_output = 1, "Could not acquire lock"
    waits = []
    for _ in range(12):
        assert isinstance(deployed.run("lufta"), Failed)
        again = deployed.run("lufta")
        assert isinstance(again, Again)
        assert "somebody else is switching" in deployed.status("lufta").error
        waits.append(again.after)
        deployed.clock.advance(again.after)

    assert waits[:4] == [2.0, 4.0, 8.0, 16.0]
    assert waits == sorted(waits)
    assert waits[-1] == 1800.0


def test_a_new_commit_need_not_wait(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    deployed.commit(B)
    lufta.switch_status, lufta.switch_output = 1, "Could not acquire lock"
    deployed.run("lufta")
    assert isinstance(deployed.run("lufta"), Again)
    lufta.switch_status, lufta.switch_output = 0, ""

    deployed.commit(C)

    assert deployed.run("lufta") == Done()
    assert lufta.running == SYSTEM_C
    assert deployed.status("lufta").error == ""


def test_a_service_that_does_not_come_up_is_rolled_back(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    deployed.commit(B)
    lufta.dying.add(UnitName(BOT))

    result = deployed.run("lufta")

    assert isinstance(result, Failed)
    attempt = deployed.attempts("lufta")[-1]
    assert (attempt.outcome, attempt.reason) == (Outcome.ROLLED_BACK, Reason.UNHEALTHY)
    assert "withinbot.service" in attempt.message
    assert (lufta.running, lufta.profile) == (SYSTEM_A, SYSTEM_A)
    assert [step.name for step in attempt.steps] == [
        "build",
        "copy",
        "activate",
        "verify",
        f"restart {BOT}",
        "verify",
        "roll back",
    ]


def test_what_was_broken_before_does_not_fail_a_deployment(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    lufta.dying.add(UnitName(FACTS))
    lufta.change(FACTS, **FAILED)
    lufta.switch_status = 4  # as switch-to-configuration says of any failed unit
    deployed.commit(B)

    deployed.run("lufta")

    attempt = deployed.attempts("lufta")[-1]
    assert (attempt.verdict, attempt.outcome) == (Verdict.DEPLOY, Outcome.SUCCEEDED)
    assert (lufta.running, lufta.profile) == (SYSTEM_B, SYSTEM_B)
    status = deployed.status("lufta")
    assert not status.in_sync, "it is broken all the same"
    assert {drift.subject for drift in status.drifts} == {FACTS}


def test_some_failed_unit_that_comes_up_later_is_a_success(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    lufta.switch_status = 4
    deployed.commit(B)

    assert deployed.run("lufta") == Done()

    (attempt,) = deployed.attempts("lufta")[1:]
    assert attempt.outcome is Outcome.SUCCEEDED


# --- evaluation ------------------------------------------------------------------


def test_a_host_that_does_not_evaluate_is_healed_by_the_last_good_commit(
    deployed: Scene,
) -> None:
    lufta = deployed.machine("lufta")
    bad = deployed.commit({"lufta": ERROR})
    lufta.change(BOT, active_state="inactive", sub_state="dead")

    deployed.run("lufta")

    assert lufta.units[UnitName(BOT)].active_state == "active"
    status = deployed.status("lufta")
    assert status.error == str(ERROR)
    assert (status.commit, status.running) == (bad.id, SYSTEM_A)
    assert not status.in_sync
    assert deployed.run("lufta") == Done()
    assert deployed.status("lufta").error == str(ERROR)


def test_so_it_is_after_a_restart(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    deployed.commit({"lufta": ERROR})
    deployed.run("lufta")

    deployed.restart()
    deployed.look()
    lufta.change(BOT, active_state="inactive", sub_state="dead")
    deployed.run("lufta")

    assert lufta.units[UnitName(BOT)].active_state == "active"
    assert deployed.status("lufta").error == str(ERROR)


TOKEN = DesiredKey(name="token", path="/run/keys/token", origin=KeyOrigin.TEXT)


def test_a_key_whose_owner_does_not_exist_is_told_as_such(deployed: Scene) -> None:
    """It was "root:root 0600" that was wrong, and no more."""
    deployed.evaluator.keys = (replace(TOKEN, user="nobody-here", mode=0o400),)
    deployed.commit(B)

    deployed.run("lufta")

    ended = deployed.attempts("lufta")[-1]
    assert ended.outcome is Outcome.ROLLED_BACK
    assert "key token: there is no user nobody-here on lufta" in ended.message
    assert "DynamicUser=" in ended.message
    assert deployed.machine("lufta").running == SYSTEM_A


def reboot_with_a_broken_commit(scene: Scene) -> tuple[Commit, Commit]:
    """Deploy a text key, restart, push what does not evaluate, and take the key."""
    scene.evaluator.keys = (TOKEN,)
    good = scene.commit(B)
    scene.run("lufta")
    bad = scene.commit({"lufta": ERROR})
    scene.run("lufta")
    scene.restart()
    scene.look()
    scene.machine("lufta").keys.reboot()
    return good, bad


def test_a_host_that_does_not_evaluate_gets_its_keys_from_the_last_good_commit(
    deployed: Scene,
) -> None:
    good, bad = reboot_with_a_broken_commit(deployed)
    keys = deployed.machine("lufta").keys
    assert TOKEN.path not in keys.files

    deployed.run("lufta")

    text = json.dumps(B["lufta"], sort_keys=True)
    assert keys.files[TOKEN.path].content == f"token: {text}".encode()
    attempt = deployed.attempts("lufta")[-1]
    assert (attempt.commit, attempt.outcome) == (good.id, Outcome.SUCCEEDED)
    status = deployed.status("lufta")
    assert (status.commit, status.error) == (bad.id, str(ERROR)), "what was looked at"
    assert evaluated(deployed) == good.id


def test_a_last_good_commit_that_is_gone_keeps_services_up_all_the_same(
    deployed: Scene,
) -> None:
    """As after a rewritten branch: its keys cannot be had any more."""
    good, _ = reboot_with_a_broken_commit(deployed)
    deployed.mirror.commits.remove(good)
    lufta = deployed.machine("lufta")
    lufta.change(BOT, active_state="inactive", sub_state="dead")

    deployed.run("lufta")

    assert lufta.units[UnitName(BOT)].active_state == "active"
    assert TOKEN.path not in lufta.keys.files


def test_the_last_good_commit_is_the_newest_one_with_the_same_tree(
    deployed: Scene,
) -> None:
    """Nothing is evaluated for it, and yet it is what the host is aimed at."""
    again = deployed.commit(A)
    deployed.run("lufta")
    assert evaluated(deployed) == again.id

    deployed.commit({"lufta": ERROR})
    deployed.run("lufta")

    assert evaluated(deployed) == again.id


def evaluated(scene: Scene) -> str:
    """Return the commit that metrics have for the host."""
    told = scene.metrics.render()[0].decode()
    (commit,) = re.findall(
        r'^reconciler_host_info{.*commit="(\w*)"', told, re.MULTILINE
    )
    return str(commit)


def test_a_last_good_state_of_another_version_is_passed_over(deployed: Scene) -> None:
    deployed.commit({"lufta": ERROR})
    told = Declared(commit=CommitId("c"), desired="{}")
    deployed.history.systems.save_last_good(LUFTA, told)
    deployed.restart()
    deployed.look()

    assert deployed.run("lufta") == Failed(ERROR)


def test_the_last_good_commit_is_the_last_one_and_not_the_newest_evaluation(
    deployed: Scene,
) -> None:
    """After A, B and a revert to A, a host is not brought back to B by a bad commit."""
    for content in (B, A, {"lufta": ERROR}):
        deployed.commit(content)
        deployed.run("lufta")

    deployed.restart()
    deployed.look()
    deployed.run("lufta")

    assert deployed.machine("lufta").running == SYSTEM_A


def test_a_failed_evaluation_is_tried_again_after_an_hour(deployed: Scene) -> None:
    deployed.commit({"lufta": ERROR})
    deployed.evaluator.evaluated.clear()
    for _ in range(10):
        deployed.run("lufta")
        deployed.clock.advance(300)
    assert deployed.evaluator.evaluated == ["lufta"]
    failures = 'reconciler_evaluations_total{host="lufta",result="failed"}'
    assert deployed.metric(failures) == 1

    deployed.clock.advance(601)
    deployed.run("lufta")

    assert deployed.evaluator.evaluated == ["lufta", "lufta"]
    assert deployed.metric(failures) == 2


def test_a_commit_that_mends_the_evaluation_clears_the_problem(
    deployed: Scene,
) -> None:
    failing = 'reconciler_evaluation_failing{host="lufta"}'
    assert deployed.metric(failing) == 0
    deployed.commit({"lufta": ERROR})
    deployed.run("lufta")
    assert deployed.metric(failing) == 1

    deployed.commit(B)

    assert deployed.run("lufta") == Done()
    assert deployed.status("lufta").in_sync
    assert deployed.metric(failing) == 0


def test_a_commit_that_goes_back_to_the_last_good_one_clears_it_too(
    deployed: Scene,
) -> None:
    """Nothing is evaluated then: the answer is still in memory."""
    deployed.commit({"lufta": ERROR})
    deployed.run("lufta")

    deployed.commit(A)
    deployed.run("lufta")

    assert deployed.metric('reconciler_evaluation_failing{host="lufta"}') == 0


# --- hosts -----------------------------------------------------------------------


def test_an_unreachable_host_is_told_of(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    lufta.disconnect()
    began = deployed.clock()
    for _ in range(3):
        result = deployed.run("lufta")
        assert isinstance(result, Failed)
        assert isinstance(result.error, ConnectError)
        status = deployed.status("lufta")
        assert not status.reachable
        assert [drift.kind for drift in status.drifts] == [DriftKind.UNREACHABLE]
        assert status.drift_since == began
        assert (status.running, status.units_desired) == (SYSTEM_A, 2)
        deployed.clock.advance(60)
    assert deployed.metric('reconciler_host_up{host="lufta"}') == 0
    assert len(deployed.attempts("lufta")) == 1

    lufta.failure = None

    assert deployed.run("lufta") == Done()
    status = deployed.status("lufta")
    assert (status.reachable, status.drift_since, status.error) == (True, None, "")


def test_a_host_that_comes_back_gets_what_it_missed(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    lufta.disconnect()
    for content in (B, C):
        deployed.commit(content)
        deployed.run("lufta")

    lufta.failure = None

    assert deployed.run("lufta") == Done()
    assert lufta.running == SYSTEM_C


def test_another_machine_under_the_name_is_not_touched(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    commands, machine_id = lufta.commands, lufta.machine_id
    lufta.machine_id = "f" * 32
    deployed.commit(B)

    assert deployed.run("lufta") == Done()

    assert lufta.commands == commands
    assert lufta.running == SYSTEM_A
    status = deployed.status("lufta")
    assert status.verdict is Verdict.BLOCKED
    assert [drift.kind for drift in status.drifts] == [DriftKind.WRONG_MACHINE]
    assert "reconciler trust lufta" in status.error
    assert deployed.history.machines.id_of(LUFTA) == machine_id

    deployed.history.machines.forget(LUFTA)

    assert deployed.run("lufta") == Done()
    assert lufta.running == SYSTEM_B
    assert deployed.history.machines.id_of(LUFTA) == "f" * 32


def test_what_is_no_nixos_is_not_touched_nor_remembered(scene: Scene) -> None:
    scene.machine("lufta").running = None
    scene.commit(A)

    assert scene.run("lufta") == Done()

    assert scene.machine("lufta").commands == 0
    assert scene.status("lufta").verdict is Verdict.BLOCKED
    assert scene.history.machines.id_of(LUFTA) is None


def test_a_host_that_breaks_off_before_the_switch_fails_it(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    deployed.commit(B)
    deployed.evaluator.before_build = lufta.disconnect

    result = deployed.run("lufta")

    assert isinstance(result, Failed)
    assert deployed.attempts("lufta")[-1].outcome is Outcome.FAILED
    assert lufta.profile == SYSTEM_A


def test_a_host_that_leaves_during_a_pass_leaves_no_trace(scene: Scene) -> None:
    scene.commit({**A, "keanu": {FACTS: "1"}})
    scene.run("lufta")
    scene.run("keanu")

    def leave() -> None:
        scene.machine("lufta").before_read = lambda: None
        scene.commit({"keanu": {FACTS: "1"}})
        scene.history.forget_host(LUFTA)
        scene.metrics.host_gone(LUFTA)

    scene.machine("lufta").before_read = leave
    scene.run("lufta")

    assert [status.host for status in scene.history.statuses()] == ["keanu"]
    assert 'host="lufta"' not in scene.metrics.render()[0].decode()
    assert scene.run("lufta") == Done()


HOLDER = """
import sys
from pathlib import Path
from reconciler.history import History
from reconciler.model import HostName
with History.open(Path(sys.argv[1])).lock(HostName("lufta")):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_host_that_another_process_changes_is_left_alone(scene: Scene) -> None:
    scene.commit(A)
    database = scene.settings.state.path / "history.sqlite"
    argv = [sys.executable, "-c", HOLDER, str(database)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, env=os.environ
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(HostBusyError, match=f"process {holder.pid}"):
            scene.run("lufta")
        assert scene.machine("lufta").commands == 0
        assert scene.attempts("lufta") == []
        holder.stdin.close()
        wait_until(lambda: holder.poll() is not None, 30, "the holder to end")

    assert scene.run("lufta") == Done()


def test_an_attempt_of_a_dead_process_is_ended_by_the_next(scene: Scene) -> None:
    scene.commit(A)
    dead = scene.history.begin(
        host=LUFTA,
        commit=scene.mirror.commits[0].id,
        verdict=Verdict.DEPLOY,
        source=FIRST,
        target=SYSTEM_A,
        now=scene.clock(),
    )
    scene.restart()

    ended = History.interrupt(scene.history, now=scene.clock())

    assert [one.id for one in ended] == [dead.id]
    assert scene.attempts("lufta")[0].outcome is Outcome.INTERRUPTED
