"""What is not done without asking, or not just now; and what happens when it may."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import BuildError, ConnectError, FactError, StoppingError
from reconciler.history import approval_of_adoption
from reconciler.loop import Again, Done, Failed, HostPass, Orders
from reconciler.loop.turns import REBOOT_TURN
from reconciler.model import (
    Adopt,
    DriftKind,
    HostName,
    Outcome,
    Policy,
    Reason,
    Reboot,
    StorePath,
    SystemParts,
    UnitName,
    Verdict,
)
from reconciler.remote import RemoteResult
from reconciler.revisions.repository import WithheldError
from tests.scenario.test_orders import running
from tests.support.host import FakeHost
from tests.support.scene import Scene
from tests.support.wait import wait_until
from tests.support.world import FAILED, Content, do_nothing, toplevel_of

KEANU, LOGOS, LUFTA = HostName("keanu"), HostName("logos"), HostName("lufta")
BOT = "withinbot.service"
A = {"lufta": {BOT: "1"}}
MANY = {"lufta": {f"{name}.service": "1" for name in "abcde"}}
FEW = {"lufta": {"a.service": "1"}}
FLEET: Content = {name: {BOT: "1"} for name in ("azure", "keanu", "logos", "lufta")}
REST: Content = {"lufta": {BOT: "1"}}
NONE: Content = {}
SOON = 60.0  # seconds that anything may take here
WITHHELD = "reconciler_commit_withheld"
OLD = SystemParts(kernel="/nix/store/old-linux")
NEW = SystemParts(kernel="/nix/store/new-linux")


def orders(scene: Scene) -> Orders:
    return Orders(history=scene.history, now=scene.clock(), actor="cadey")


def deployed(scene: Scene, content: Content) -> None:
    scene.commit(content)
    assert isinstance(content, dict)
    for host in content:
        assert scene.run(host) == Done()
        assert scene.run(host) == Done(), "a look that finds nothing to do"


# --- services --------------------------------------------------------------------


def test_a_system_without_most_services_waits_until_it_is_approved(
    scene: Scene,
) -> None:
    deployed(scene, MANY)
    scene.commit(FEW)

    assert scene.run("lufta") == Done()

    status = scene.status("lufta")
    assert status.verdict is Verdict.BLOCKED
    assert "4 of the 5 services" in status.error
    assert "reconciler approve lufta" in status.error
    assert len(scene.attempts("lufta")) == 1
    assert len(scene.machine("lufta").units) == 5

    new = toplevel_of("lufta", FEW["lufta"])
    assert orders(scene).to_come([LUFTA]) == {LUFTA: new}
    orders(scene).approve({LUFTA: new})
    assert scene.run("lufta") == Done()
    assert scene.status("lufta").in_sync
    assert len(scene.machine("lufta").units) == 1


def test_what_was_approved_is_one_system(scene: Scene) -> None:
    deployed(scene, MANY)
    scene.commit(FEW)
    scene.run("lufta")
    orders(scene).approve(orders(scene).to_come([LUFTA]))
    scene.commit({"lufta": {"b.service": "1"}})

    scene.run("lufta")

    assert scene.status("lufta").verdict is Verdict.BLOCKED


def test_what_a_host_has_is_remembered_across_a_restart(scene: Scene) -> None:
    deployed(scene, MANY)
    scene.push(FEW)
    scene.restart()
    scene.look()

    scene.run("lufta")

    assert scene.status("lufta").verdict is Verdict.BLOCKED


def test_a_host_that_was_away_for_a_while_is_compared_with_what_it_had(
    scene: Scene,
) -> None:
    """Not with the commit before, which it never had."""
    deployed(scene, MANY)
    lufta = scene.machine("lufta")
    lufta.disconnect()
    scene.commit({"lufta": {f"{name}.service": "1" for name in "abc"}})
    scene.run("lufta")
    scene.commit({"lufta": {f"{name}.service": "1" for name in "ab"}})
    lufta.failure = None

    scene.run("lufta")

    assert "3 of the 5 services" in scene.status("lufta").error


def test_the_limit_is_a_setting(tmp_path: Path) -> None:
    scene = Scene(tmp_path, policy=Policy(removal_limit=1.0))
    deployed(scene, MANY)
    deployed(scene, FEW)
    scene.close()


# --- hosts -----------------------------------------------------------------------


@pytest.mark.parametrize("content", [REST, NONE], ids=["most", "all"])
def test_a_commit_without_most_hosts_does_not_count(
    scene: Scene, content: Content
) -> None:
    deployed(scene, FLEET)
    before = scene.repository.current
    bad = scene.push(content)

    for _ in range(2):
        with pytest.raises(WithheldError, match="of the 4 hosts no more"):
            scene.look()

    assert scene.repository.current is before
    problem = scene.history.repository.problem()
    assert f"reconciler approve {bad.short}" in problem
    assert [event.kind for event in scene.history.events()] == ["commit-withheld"]
    assert scene.metric(WITHHELD) == 1
    assert scene.evaluator.listed == 2, "it is not evaluated at each look"
    lufta = scene.machine("lufta")
    lufta.change(BOT, active_state="inactive")
    scene.run("lufta")
    assert scene.status("lufta").in_sync, "the hosts stay served"

    orders(scene).approve_commit(bad.id)
    revision = scene.repository.look()

    assert revision is not None
    assert revision.commit == bad
    assert scene.metric(WITHHELD) == 0
    assert scene.history.repository.problem() == ""


def test_another_commit_takes_the_place_of_one_that_waits(scene: Scene) -> None:
    deployed(scene, FLEET)
    scene.push(REST)
    with pytest.raises(WithheldError):
        scene.look()

    commit = scene.commit(FLEET, "All of them again")

    assert scene.repository.current is not None
    assert scene.repository.current.commit == commit
    assert scene.metric(WITHHELD) == 0


def test_a_restart_while_a_commit_waits_serves_the_one_before(scene: Scene) -> None:
    good = scene.commit(FLEET)
    for host in ("azure", "keanu", "logos", "lufta"):
        scene.run(host)
    bad = scene.push(REST)
    scene.restart()

    with pytest.raises(WithheldError):
        scene.look()

    assert scene.repository.current is not None
    assert scene.repository.current.commit == good
    assert scene.run("azure") == Done()
    orders(scene).approve_commit(bad.id)
    scene.look()
    assert scene.repository.current.commit == bad
    scene.restart()
    scene.look()
    assert scene.repository.current.commit == bad, "what counted once is not asked of"


def test_a_daemon_takes_an_approved_commit_over_at_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path, interval=3600.0)
    deployed(scene, FLEET)
    bad = scene.push(REST)
    with running(scene):
        wait_until(lambda: scene.metric(WITHHELD) == 1, SOON, "the commit to wait")
        assert {one.host for one in scene.history.statuses()} == set(FLEET)
        orders(scene).approve_commit(bad.id)

        def left() -> list[str]:
            return [one.host for one in scene.history.statuses()]

        wait_until(lambda: left() == ["lufta"], SOON, "three hosts to leave")
    scene.close()


def test_a_few_hosts_may_go_unasked(scene: Scene) -> None:
    scene.commit({"keanu": {BOT: "1"}, "lufta": {BOT: "1"}})
    scene.run("lufta")
    scene.commit(REST)

    assert scene.repository.current is not None
    assert scene.repository.current.hosts == ("lufta",)


# --- space and other people ------------------------------------------------------


def test_a_system_that_has_no_room_is_not_copied(scene: Scene) -> None:
    scene.machine("lufta").store_free = (256 << 20) + 999
    scene.commit(A)

    result = scene.run("lufta")

    assert isinstance(result, Failed)
    told = str(result.error)
    assert "needs 1000 B more, 256.0 MiB are free, and 256.0 MiB" in told
    (attempt,) = scene.attempts("lufta")
    assert [step.name for step in attempt.steps] == ["build", "copy"]
    assert scene.machine("lufta").log == []
    assert scene.machine("lufta").protected is None

    scene.machine("lufta").store_free += 1
    scene.clock.advance(3600)
    assert scene.run("lufta") == Done()


def test_what_is_on_the_host_needs_no_room(scene: Scene) -> None:
    other = {"lufta": {BOT: "2"}}
    deployed(scene, A)
    deployed(scene, other)
    scene.machine("lufta").store_free = 0

    scene.commit(A)

    assert scene.run("lufta") == Done()
    assert scene.machine("lufta").running == toplevel_of("lufta", A["lufta"])


def test_a_host_that_somebody_switches_is_left_alone_meanwhile(scene: Scene) -> None:
    lufta = scene.machine("lufta")
    lufta.switching = True
    scene.commit(A)

    assert scene.run("lufta") == Done()
    assert scene.status("lufta").verdict is Verdict.BLOCKED
    assert scene.status("lufta").error.startswith("somebody is switching this host")
    assert scene.attempts("lufta") == []

    lufta.switching = False
    scene.evaluator.build_error = BuildError("no", host="lufta")
    assert isinstance(scene.run("lufta"), Failed)
    assert scene.status("lufta").error == "no", "what was in the way is not any more"
    scene.evaluator.build_error = None
    scene.clock.advance(7200)
    assert scene.run("lufta") == Done()
    assert scene.status("lufta").in_sync


def test_a_reason_to_wait_is_not_told_once_it_is_gone(scene: Scene) -> None:
    lufta = scene.machine("lufta")
    deployed(scene, A)
    scene.gate.tried(LUFTA, scene.clock())
    lufta.switching = True
    scene.commit(MANY)
    scene.run("lufta")
    lufta.switching = False
    scene.gate.tried(LUFTA, scene.clock())

    scene.run("lufta")

    assert scene.status("lufta").verdict is Verdict.DEPLOY
    assert scene.status("lufta").error == ""


# --- reboots ---------------------------------------------------------------------


@pytest.fixture
def rebooting(tmp_path: Path) -> Iterator[Scene]:
    """Return a host that needs a reboot, where reboots are allowed."""
    scene = Scene(tmp_path, policy=Policy(reboot=Reboot.ALLOWED))
    deployed(scene, A)
    lufta = scene.machine("lufta")
    lufta.booted, lufta.parts, lufta.booted_parts = lufta.running, NEW, OLD
    yield scene
    scene.close()


def take_turn(scene: Scene, host: HostName) -> bool:
    return scene.history.turns.take_reboot(host, now=scene.clock())


def test_a_host_is_rebooted_where_that_is_allowed(rebooting: Scene) -> None:
    lufta = rebooting.machine("lufta")
    before = lufta.boot_id

    assert rebooting.run("lufta") == Done()

    assert lufta.boot_id != before
    attempt = rebooting.attempts("lufta")[-1]
    assert (attempt.outcome, attempt.verdict) == (Outcome.SUCCEEDED, Verdict.HEAL)
    assert attempt.steps[0].name == "reboot"
    assert rebooting.status("lufta").in_sync
    assert rebooting.run("lufta") == Done()
    assert lufta.log.count("reboot") == 1


def test_a_host_is_not_rebooted_in_vain_for_ever(rebooting: Scene) -> None:
    lufta = rebooting.machine("lufta")

    def stay_old() -> None:
        lufta.booted_parts = OLD

    lufta.before_read = stay_old
    for _ in range(3):
        rebooting.run("lufta")
        rebooting.clock.advance(7200)
    assert lufta.log.count("reboot") == 1
    assert rebooting.status("lufta").in_sync, "a reboot that is due is only told"

    orders(rebooting).retry([LUFTA])
    rebooting.run("lufta")
    assert lufta.log.count("reboot") == 2


def test_a_host_that_does_not_come_back_fails_its_attempt(rebooting: Scene) -> None:
    lufta = rebooting.machine("lufta")

    def stay_away() -> None:
        if "reboot" in lufta.log:
            lufta.disconnect()

    lufta.before_read = stay_away
    rebooting.run("lufta")

    attempt = rebooting.attempts("lufta")[-1]
    assert attempt.outcome is Outcome.FAILED
    assert "did not boot in time" in attempt.message
    assert not take_turn(rebooting, KEANU), "it may fare no better"
    lufta.before_read, lufta.failure = do_nothing, None
    rebooting.clock.advance(7200)
    assert rebooting.run("lufta") == Done()
    assert rebooting.status("lufta").in_sync
    assert take_turn(rebooting, KEANU)


def test_a_host_that_boots_another_system_is_told(rebooting: Scene) -> None:
    lufta = rebooting.machine("lufta")
    before = lufta.boot_id

    def boot_another() -> None:
        if lufta.boot_id != before:
            lufta.running = toplevel_of("lufta", MANY["lufta"])

    lufta.before_read = boot_another
    rebooting.run("lufta")

    attempt = rebooting.attempts("lufta")[-1]
    assert attempt.outcome is Outcome.FAILED


def test_one_host_is_rebooted_at_a_time(rebooting: Scene) -> None:
    turns = rebooting.history.turns
    assert take_turn(rebooting, KEANU)

    assert rebooting.run("lufta") == Again(REBOOT_TURN)
    assert "reboot" not in rebooting.machine("lufta").log

    turns.end_reboot(LUFTA)  # it is not its turn to end
    assert rebooting.run("lufta") == Again(REBOOT_TURN)
    turns.end_reboot(KEANU)
    assert rebooting.run("lufta") == Done()
    assert rebooting.machine("lufta").log.count("reboot") == 1
    assert take_turn(rebooting, KEANU), "the turn is given back"


def ill_after_the_reboot(scene: Scene) -> None:
    """Let lufta come back from its reboot with a service that fails."""
    lufta = scene.machine("lufta")
    before = lufta.boot_id

    def fail() -> None:
        if lufta.boot_id != before:
            lufta.change(BOT, **FAILED)

    lufta.before_read = fail
    assert isinstance(scene.run("lufta"), Failed)
    assert lufta.log.count("reboot") == 1
    assert scene.attempts("lufta")[-1].outcome is Outcome.FAILED


def test_after_one_that_came_back_ill_no_other_is_rebooted(rebooting: Scene) -> None:
    ill_after_the_reboot(rebooting)
    assert not take_turn(rebooting, KEANU)

    rebooting.restart()
    rebooting.commit(A)
    rebooting.clock.advance(7200)
    rebooting.run("lufta")
    assert not take_turn(rebooting, KEANU), "neither a restart nor a commit ends it"

    lufta = rebooting.machine("lufta")
    lufta.before_read = do_nothing
    for _ in range(3):  # it is healed, and then judged as after a reboot
        rebooting.clock.advance(7200)
        rebooting.run("lufta")
    assert rebooting.status("lufta").in_sync
    assert take_turn(rebooting, KEANU)
    assert lufta.log.count("reboot") == 1


def test_a_person_may_let_the_next_go(rebooting: Scene) -> None:
    ill_after_the_reboot(rebooting)

    orders(rebooting).retry([LUFTA])

    assert take_turn(rebooting, KEANU)


def test_a_reboot_that_nobody_saw_to_its_end_is_judged(rebooting: Scene) -> None:
    """The program died while it waited for the host."""
    lufta = rebooting.machine("lufta")
    take_turn(rebooting, LUFTA)
    rebooting.history.turns.begin_reboot(LUFTA, lufta.boot_id)
    rebooting.history.systems.note_reboot(LUFTA, StorePath(str(lufta.running)))
    lufta.reboot()

    assert rebooting.run("lufta") == Done()

    assert "reboot" not in lufta.log, "once is enough"
    judged = rebooting.attempts("lufta")[-1]
    assert "settle" in [step.name for step in judged.steps]
    assert take_turn(rebooting, KEANU)


def test_a_host_that_never_went_down_is_asked_again(rebooting: Scene) -> None:
    """The program died before the host had heard of it."""
    lufta = rebooting.machine("lufta")
    take_turn(rebooting, LUFTA)
    rebooting.history.turns.begin_reboot(LUFTA, lufta.boot_id)
    rebooting.history.systems.note_reboot(LUFTA, StorePath(str(lufta.running)))

    assert rebooting.run("lufta") == Done()

    assert lufta.log.count("reboot") == 1
    assert take_turn(rebooting, KEANU)


def test_a_host_that_is_not_to_be_rebooted_any_more_gives_its_turn_on(
    rebooting: Scene,
) -> None:
    """The program died before the host had heard of it, and the need for it went."""
    lufta = rebooting.machine("lufta")
    take_turn(rebooting, LUFTA)
    rebooting.history.turns.begin_reboot(LUFTA, lufta.boot_id)
    rebooting.history.systems.note_reboot(LUFTA, StorePath(str(lufta.running)))
    lufta.booted_parts = NEW

    assert rebooting.run("lufta") == Done()

    assert "reboot" not in lufta.log
    assert take_turn(rebooting, KEANU)


@pytest.fixture
def refusing(tmp_path: Path) -> Iterator[Scene]:
    """Return a host whose new system has to be booted into, where that is allowed."""
    scene = Scene(tmp_path, policy=Policy(reboot=Reboot.ALLOWED))
    deployed(scene, A)
    scene.machine("lufta").refuses = "reboot-first"
    scene.commit({"lufta": {BOT: "2"}})
    assert isinstance(scene.run("lufta"), Failed)
    scene.clock.advance(10)
    yield scene
    scene.close()


def test_a_host_that_cannot_be_booted_into_its_system_keeps_no_other_from_it(
    refusing: Scene,
) -> None:
    """Nothing was booted there, so that nothing is known of how it ends elsewhere."""
    refusing.machine("lufta").refuses = "not-booted"

    assert isinstance(refusing.run("lufta"), Failed)

    assert "could not be booted" in refusing.status("lufta").error
    assert refusing.history.systems.rebooted_for(LUFTA) is None
    assert take_turn(refusing, KEANU)


def test_a_refusal_to_be_booted_that_nobody_heard_keeps_no_other_from_it(
    refusing: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program was killed between asking for a first boot and the answer."""
    lufta = refusing.machine("lufta")
    old, lufta.refuses = lufta.running, "not-booted"
    run = FakeHost.run

    def die(
        host: FakeHost,
        argv: Sequence[str],
        *,
        what: str,
        deadline: float,
        **more: Any,  # noqa: ANN401 -- as they come
    ) -> RemoteResult:
        result = run(host, argv, what=what, deadline=deadline, **more)
        if "first-boot" in argv:
            refusing.world.stopping.set()
            message = "the program is killed"
            raise ConnectError(message, host=host.host)
        return result

    monkeypatch.setattr(FakeHost, "run", die)
    with pytest.raises(StoppingError):
        refusing.run("lufta")
    monkeypatch.undo()
    assert not take_turn(refusing, KEANU)
    refusing.restart()
    refusing.commit(A)

    assert refusing.run("lufta") == Done()

    assert refusing.attempts("lufta")[-1].outcome is Outcome.FAILED
    assert lufta.running == old
    assert take_turn(refusing, KEANU)


def test_a_host_that_went_back_and_cannot_be_looked_at_is_not_taken_for_stuck(
    refusing: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    lufta = refusing.machine("lufta")
    old, lufta.refuses = lufta.running, ""
    lufta.dying.add(UnitName(BOT))
    read, before = FakeHost.read, lufta.boot_id

    def fail_once(host: FakeHost, script: str, *, what: str, deadline: float) -> str:
        if what == "probe" and host.boot_id == f"{before}++":
            monkeypatch.undo()
            message = "its systemd does not answer yet"
            raise FactError(message)
        return read(host, script, what=what, deadline=deadline)

    monkeypatch.setattr(FakeHost, "read", fail_once)

    assert isinstance(refusing.run("lufta"), Failed)

    attempt = refusing.attempts("lufta")[-1]
    assert lufta.running == old
    assert attempt.reason is Reason.UNHEALTHY, attempt.message


def test_without_leave_a_reboot_is_only_told(scene: Scene) -> None:
    deployed(scene, A)
    lufta = scene.machine("lufta")
    lufta.booted, lufta.parts, lufta.booted_parts = lufta.running, NEW, OLD

    assert scene.run("lufta") == Done()

    assert scene.status("lufta").verdict is Verdict.CONVERGED
    assert "reboot" not in lufta.log


# --- one machine, two names ------------------------------------------------------

TWINS: Content = {"keanu": {BOT: "2"}, "lufta": {BOT: "1"}}


def become_one(scene: Scene) -> None:
    """Let keanu's name lead to the machine of lufta."""
    scene.connections.machines[KEANU] = scene.machine("lufta")
    (scene.stores / "keanu.example").mkdir()


@pytest.fixture
def twins(scene: Scene) -> Scene:
    """Return a deployed host for which a commit has a second name."""
    deployed(scene, A)
    become_one(scene)
    scene.commit(TWINS)
    return scene


def is_blocked(scene: Scene, host: str, *names: str) -> bool:
    scene.clock.advance(60)
    assert scene.run(host) == Done()
    status = scene.status(host)
    (drift,) = status.drifts
    assert drift.kind is DriftKind.WRONG_MACHINE
    assert all(name in status.error for name in names), status.error
    return status.verdict is Verdict.BLOCKED


def test_two_names_of_one_machine_are_both_blocked(twins: Scene) -> None:
    """Else each pass would deploy the other's system, without end."""
    lufta = twins.machine("lufta")
    commands = lufta.commands

    assert is_blocked(twins, "keanu", "lufta")
    assert is_blocked(twins, "lufta", "keanu", "lufta")
    assert is_blocked(twins, "keanu", "lufta")

    lufta.reboot()
    assert is_blocked(twins, "keanu", "lufta")
    assert is_blocked(twins, "lufta", "keanu", "lufta")
    assert lufta.commands == commands
    assert lufta.running == toplevel_of("lufta", A["lufta"])

    twins.commit(A)
    assert twins.run("lufta") == Done()
    assert twins.status("lufta").in_sync


def test_a_hold_is_not_escaped_by_a_second_name(scene: Scene) -> None:
    deployed(scene, A)
    orders(scene).hold(orders(scene).drafted([LUFTA], reason="the disk"))
    become_one(scene)
    commands = scene.machine("lufta").commands

    scene.commit(TWINS)
    scene.run("lufta")
    assert is_blocked(scene, "keanu", "lufta")
    scene.commit({"keanu": {BOT: "2"}})
    assert scene.run("keanu") == Done()

    status = scene.status("keanu")
    assert (status.verdict, status.error) == (Verdict.HELD, "held: the disk")
    assert scene.machine("lufta").commands == commands
    orders(scene).release([KEANU])
    assert scene.run("keanu") == Done()
    assert scene.machine("lufta").running == toplevel_of("keanu", {BOT: "2"})


# --- two reconcilers --------------------------------------------------------------


def test_a_host_that_another_reconciler_drives_is_left_alone(scene: Scene) -> None:
    """Else the two would undo each other's work for ever."""
    ours = dataclasses.replace(scene.world, driver="1234 cadey@mastodon:/state")
    one_pass = HostPass(ours, scene.repository, scene.evaluations, scene.gate)
    lufta = scene.machine("lufta")
    scene.commit(A)
    assert one_pass.run(LUFTA) == Done()
    assert lufta.driver == "1234 cadey@mastodon:/state"
    assert one_pass.run(LUFTA) == Done()

    lufta.driver = "5678 cadey@laptop:/home/cadey/state"
    lufta.change(BOT, **FAILED)
    commands = lufta.commands
    assert one_pass.run(LUFTA) == Done()

    status = scene.status("lufta")
    assert status.verdict is Verdict.BLOCKED
    assert "cadey@laptop:/home/cadey/state" in status.error
    assert "reconciler approve lufta" in status.error
    assert lufta.commands == commands

    orders(scene).approve(orders(scene).to_come([LUFTA]))
    assert one_pass.run(LUFTA) == Done()
    assert lufta.driver.startswith("1234 ")
    assert scene.status("lufta").in_sync


# --- the first deployment --------------------------------------------------------


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Scene]:
    """Yield a scene whose reconciler asks before the first deployment of a host."""
    scene = Scene(tmp_path, adopt=Adopt.ASK)
    yield scene
    scene.close()


def test_a_host_is_not_touched_before_it_was_adopted(asking: Scene) -> None:
    asking.commit(A)

    assert asking.run("lufta") == Done()

    status = asking.status("lufta")
    assert status.verdict is Verdict.UNADOPTED
    assert "reconciler adopt lufta" in status.error
    assert asking.attempts("lufta") == []
    verdict = 'reconciler_host_verdict{host="lufta",verdict="unadopted"}'
    assert asking.metric(verdict) == 1

    assert orders(asking).adopt([LUFTA], reason="it is ours") == [LUFTA]
    assert orders(asking).adopt([LUFTA]) == []
    assert asking.run("lufta") == Done()
    assert asking.status("lufta").in_sync
    (event,) = asking.history.events(host=LUFTA)
    assert (event.kind, event.actor, event.text) == ("adopt", "cadey", "it is ours")


def test_who_was_adopted_is_asked_about_no_more(asking: Scene) -> None:
    """Nor after a restart, nor once it has left the repository and is back."""
    asking.commit(A)
    orders(asking).adopt([LUFTA])
    asking.run("lufta")
    asking.history.forget_host(LUFTA)
    asking.push(MANY)
    asking.restart()
    asking.look()

    asking.run("lufta")

    assert asking.status("lufta").in_sync


def test_a_host_that_is_in_sync_is_adopted_by_that(asking: Scene) -> None:
    """Somebody else brought the very system: there was nothing to see."""
    asking.commit(A)
    orders(asking).adopt([LUFTA])
    asking.run("lufta")
    assert asking.history.is_adopted(LUFTA)
    asking.history.withdraw(approval_of_adoption(LUFTA))
    asking.restart()
    asking.look()
    asking.history.forget_host(LUFTA)

    asking.run("lufta")

    assert asking.history.is_adopted(LUFTA)
    asking.commit(MANY)
    asking.run("lufta")
    assert asking.status("lufta").in_sync


def test_a_machine_keeps_its_adoption_under_another_name(asking: Scene) -> None:
    asking.commit(A)
    orders(asking).adopt([LUFTA])
    asking.run("lufta")
    asking.connections.machines[LOGOS] = asking.machine("lufta")
    (asking.stores / "logos.example").mkdir()
    asking.commit({"logos": {BOT: "2"}})
    asking.history.machines.declare([LOGOS])

    asking.run("logos")

    assert asking.status("logos").in_sync
