"""What failed is gone back from, remembered, and followed after a restart."""

import itertools

import pytest

from reconciler.attempt import OutOfSightError
from reconciler.attempt.blame import SUSPECT_LIMIT
from reconciler.errors import ConnectError
from reconciler.loop import Again, Done, Failed
from reconciler.model import HostName, Outcome, Reason, UnitName, Verdict
from tests.support.host import FakeGuard, FakeHost
from tests.support.scene import Scene
from tests.support.world import FIRST, do_nothing, toplevel_of

BOT = "withinbot.service"
A = {"lufta": {BOT: "1"}}
B = {"lufta": {BOT: "2"}}
C = {"lufta": {BOT: "3"}}
LUFTA = HostName("lufta")
SYSTEM_A, SYSTEM_B, SYSTEM_C = (toplevel_of("lufta", c["lufta"]) for c in (A, B, C))


@pytest.fixture
def deployed(scene: Scene) -> Scene:
    scene.commit(A)
    assert scene.run("lufta") == Done()
    return scene


@pytest.fixture
def failed(deployed: Scene) -> Scene:
    """B was tried, and gone back from."""
    deployed.machine("lufta").dying.add(UnitName(BOT))
    deployed.commit(B)
    assert isinstance(deployed.run("lufta"), Failed)
    deployed.machine("lufta").dying.clear()
    return deployed


def interrupted(scene: Scene) -> str:
    """Let the process end while the guardian of B waits; return the attempt's id."""
    scene.commit(B)
    scene.world.stopping.set()
    with pytest.raises(Exception, match="the program is stopping"):
        scene.run("lufta")
    (attempt,) = scene.history.unfinished()
    scene.restart()
    scene.look()
    return attempt.id


# --- quarantine ------------------------------------------------------------------


def test_what_failed_is_not_tried_again_by_itself(failed: Scene) -> None:
    failed.clock.advance(4000)

    assert failed.run("lufta") == Done()

    status = failed.status("lufta")
    assert status.verdict is Verdict.QUARANTINED
    assert "withinbot.service" in status.error
    assert "reconciler retry lufta" in status.error
    assert failed.machine("lufta").running == SYSTEM_A
    tries = [one for one in failed.attempts("lufta") if one.target == SYSTEM_B]
    assert len(tries) == 1
    assert failed.metric('reconciler_quarantined{host="lufta"}') == 1
    assert failed.metric('reconciler_rollbacks_total{host="lufta"}') == 1
    reasons = 'reconciler_rollback_reasons_total{reason="unhealthy"}'
    assert failed.metric(reasons) == 1


def test_another_system_is_tried_and_the_former_one_comes_back(failed: Scene) -> None:
    failed.commit(C)
    assert failed.run("lufta") == Done()
    assert failed.machine("lufta").running == SYSTEM_C

    failed.commit(A)
    assert failed.run("lufta") == Done()

    assert failed.machine("lufta").running == SYSTEM_A
    assert failed.metric('reconciler_quarantined{host="lufta"}') == 0


def test_a_person_may_have_it_tried_again(failed: Scene) -> None:
    failed.history.lift(LUFTA, now=failed.clock(), actor="cadey")
    failed.gate.forget(LUFTA)

    assert failed.run("lufta") == Done()

    assert failed.machine("lufta").running == SYSTEM_B


def test_the_former_system_is_kept_whole_meanwhile(failed: Scene) -> None:
    lufta = failed.machine("lufta")
    lufta.change(BOT, active_state="inactive", sub_state="dead")
    failed.clock.advance(4000)

    failed.run("lufta")

    assert lufta.units[UnitName(BOT)].active_state == "active"
    assert (lufta.running, lufta.profile) == (SYSTEM_A, SYSTEM_A)
    heal = failed.attempts("lufta")[-1]
    assert (heal.verdict, heal.target) == (Verdict.HEAL, SYSTEM_A)
    assert heal.outcome is Outcome.SUCCEEDED
    assert failed.status("lufta").verdict is Verdict.QUARANTINED


def test_a_heal_that_fails_does_not_condemn_what_the_host_had_confirmed(
    deployed: Scene,
) -> None:
    """Else nothing would be healed any more, keys included."""
    lufta = deployed.machine("lufta")
    assert deployed.run("lufta") == Done(), "a look that finds nothing to do"
    for _ in range(SUSPECT_LIMIT):
        lufta.running = FIRST  # by hand
        lufta.switch_status = 2
        assert isinstance(deployed.run("lufta"), Failed)
        deployed.clock.advance(4000)

    assert deployed.history.quarantines() == []
    tried = deployed.attempts("lufta")[1:]
    assert {(one.verdict, one.outcome, one.target) for one in tried} == {
        (Verdict.HEAL, Outcome.ROLLED_BACK, SYSTEM_A)
    }
    lufta.switch_status = 0
    assert deployed.run("lufta") == Done()
    assert lufta.running == SYSTEM_A


def test_a_lock_that_somebody_holds_is_no_failure_of_the_system(
    deployed: Scene,
) -> None:
    lufta = deployed.machine("lufta")
    lufta.switch_status, lufta.switch_output = 1, "Could not acquire lock"
    deployed.commit(B)

    assert isinstance(deployed.run("lufta"), Failed)

    assert isinstance(deployed.run("lufta"), Again)
    lufta.switch_status, lufta.switch_output = 0, ""
    deployed.clock.advance(10)
    assert deployed.run("lufta") == Done()
    assert lufta.running == SYSTEM_B


@pytest.mark.parametrize(
    ("result", "told"),
    [("reboot-first", "without a reboot"), ("refused", "refuses to be switched to")],
)
def test_a_system_that_refuses_is_not_condemned(
    deployed: Scene, result: str, told: str
) -> None:
    """Nothing was touched; and what it refused for may pass by itself."""
    lufta = deployed.machine("lufta")
    lufta.refuses = result
    deployed.commit(B)

    assert isinstance(deployed.run("lufta"), Failed)

    assert told in deployed.status("lufta").error
    assert deployed.attempts("lufta")[-1].outcome is Outcome.FAILED
    assert deployed.history.quarantines() == []
    assert not [line for line in lufta.log if line.startswith("roll back")]
    assert lufta.running == SYSTEM_A
    again = deployed.run("lufta")
    assert isinstance(again, Again), "it waits"
    lufta.refuses = ""
    deployed.clock.advance(again.after)
    assert deployed.run("lufta") == Done()
    assert lufta.running == SYSTEM_B


def test_being_cut_off_once_is_no_proof_but_each_time_is(deployed: Scene) -> None:
    lufta = deployed.machine("lufta")
    for number in range(SUSPECT_LIMIT):
        assert deployed.history.quarantines() == [], f"after {number} times"
        interrupted(deployed)
        lufta.reboot()
        deployed.run("lufta")
        assert deployed.attempts("lufta")[number + 1].reason is Reason.REBOOTED

    (quarantine,) = deployed.history.quarantines()
    assert (quarantine.host, quarantine.toplevel) == (LUFTA, SYSTEM_B)


def test_a_host_that_goes_back_by_itself_while_we_look_proves_nothing(
    deployed: Scene,
) -> None:
    """It looks ill then; but a host that was frozen for a while is no bad commit."""
    lufta = deployed.machine("lufta")
    looks = itertools.count()
    deployed.commit(B)

    def too_late_at_the_second_look() -> None:
        if next(looks) == 2:
            lufta.expire()

    lufta.before_read = too_late_at_the_second_look
    deployed.run("lufta")

    assert deployed.attempts("lufta")[-1].reason is Reason.UNCONFIRMED
    assert deployed.history.quarantines() == []
    deployed.clock.advance(4000)
    assert deployed.run("lufta") == Done()
    assert (lufta.running, lufta.profile) == (SYSTEM_B, SYSTEM_B)


def test_what_was_confirmed_has_succeeded_whatever_comes_then(
    deployed: Scene,
) -> None:
    lufta = deployed.machine("lufta")
    deployed.commit(B)

    def gone_once_confirmed() -> None:
        if lufta.profile == SYSTEM_B:
            lufta.disconnect()

    lufta.before_read = gone_once_confirmed
    deployed.run("lufta")

    assert deployed.attempts("lufta")[-1].outcome is Outcome.SUCCEEDED
    assert lufta.profile == SYSTEM_B


# --- following -------------------------------------------------------------------


def test_a_waiting_guardian_is_followed_to_its_confirmation(deployed: Scene) -> None:
    attempt = interrupted(deployed)

    assert deployed.run("lufta") == Done()

    lufta = deployed.machine("lufta")
    assert (lufta.running, lufta.profile) == (SYSTEM_B, SYSTEM_B)
    followed = deployed.attempts("lufta")[-1]
    assert (followed.id, followed.outcome) == (attempt, Outcome.SUCCEEDED)
    assert deployed.status("lufta").in_sync


def test_what_is_sick_by_then_is_gone_back_from(deployed: Scene) -> None:
    interrupted(deployed)
    deployed.machine("lufta").dying.add(UnitName(BOT))

    deployed.run("lufta")

    followed = deployed.attempts("lufta")[-1]
    assert (followed.outcome, followed.reason) == (
        Outcome.ROLLED_BACK,
        Reason.UNHEALTHY,
    )
    assert deployed.machine("lufta").profile == SYSTEM_A


def test_a_commit_that_came_meanwhile_ends_what_waits(deployed: Scene) -> None:
    attempt = interrupted(deployed)
    deployed.commit(C)

    assert deployed.run("lufta") == Done()

    lufta = deployed.machine("lufta")
    assert (lufta.running, lufta.profile) == (SYSTEM_C, SYSTEM_C)
    old, new = deployed.attempts("lufta")[-2:]
    assert (old.id, old.outcome, old.reason) == (
        attempt,
        Outcome.ROLLED_BACK,
        Reason.ASKED,
    )
    assert new.outcome is Outcome.SUCCEEDED
    assert deployed.history.quarantines() == []


def test_what_is_done_next_goes_by_a_look_after_what_was_followed(
    deployed: Scene,
) -> None:
    """Here nothing is: what it went back to is what the commit says."""
    attempt = interrupted(deployed)
    deployed.commit(A)

    assert deployed.run("lufta") == Done()

    followed = deployed.attempts("lufta")[-1]
    assert (followed.id, followed.outcome) == (attempt, Outcome.ROLLED_BACK)
    assert deployed.status("lufta").in_sync


def test_a_host_that_is_booted_while_it_is_confirmed_is_told_by_what_it_runs(
    deployed: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its guardian had set the boot default, and could not say so any more."""
    lufta = deployed.machine("lufta")
    rightly = FakeHost._decided  # noqa: SLF001 # a power cut inside it

    def confirm_and_lose_power(host: FakeHost, guard: FakeGuard, word: str) -> None:
        rightly(host, guard, word)
        host.reboot()
        message = "lufta: the connection was lost"
        raise ConnectError(message, host="lufta")

    monkeypatch.setattr(FakeHost, "_decided", confirm_and_lose_power)
    deployed.commit(B)
    deployed.run("lufta")
    deployed.clock.advance(10)

    assert deployed.run("lufta") == Done()

    (told,) = [one for one in deployed.attempts("lufta") if one.target == SYSTEM_B]
    assert told.outcome is Outcome.SUCCEEDED
    assert (lufta.running, lufta.profile) == (SYSTEM_B, SYSTEM_B)


def test_a_host_that_was_booted_meanwhile_is_told_from_its_boot_id(
    deployed: Scene,
) -> None:
    interrupted(deployed)
    deployed.machine("lufta").reboot()

    assert isinstance(deployed.run("lufta"), Again)
    deployed.clock.advance(10)
    assert deployed.run("lufta") == Done()

    old, new = deployed.attempts("lufta")[-2:]
    assert (old.outcome, old.reason) == (Outcome.ROLLED_BACK, Reason.REBOOTED)
    assert (new.outcome, new.target) == (Outcome.SUCCEEDED, SYSTEM_B)


def test_a_profile_that_the_boot_loader_did_not_get_is_no_success(
    deployed: Scene,
) -> None:
    """The power went between the two: the host boots, and runs, the old system."""
    interrupted(deployed)
    lufta = deployed.machine("lufta")
    lufta.reboot()
    lufta.profile = SYSTEM_B
    assert lufta.running == SYSTEM_A

    deployed.run("lufta")

    old = deployed.attempts("lufta")[1]
    assert (old.outcome, old.reason) == (Outcome.ROLLED_BACK, Reason.REBOOTED)
    deployed.clock.advance(4000)
    assert deployed.run("lufta") == Done()
    assert lufta.running == SYSTEM_B


def test_an_attempt_that_never_reached_the_host_was_interrupted(
    deployed: Scene,
) -> None:
    interrupted(deployed)
    lufta = deployed.machine("lufta")
    lufta.guard, lufta.running = None, SYSTEM_A

    assert deployed.run("lufta") == Done()

    old, new = deployed.attempts("lufta")[-2:]
    assert (old.outcome, new.outcome) == (Outcome.INTERRUPTED, Outcome.SUCCEEDED)


def test_a_host_that_goes_out_of_sight_is_followed_when_it_is_back(
    deployed: Scene,
) -> None:
    lufta = deployed.machine("lufta")
    deployed.commit(B)

    def gone_after_the_switch() -> None:
        if lufta.running == SYSTEM_B:
            lufta.disconnect()

    lufta.before_read = gone_after_the_switch
    result = deployed.run("lufta")

    assert isinstance(result, Failed)
    assert isinstance(result.error, OutOfSightError | ConnectError)
    assert len(deployed.history.unfinished()) == 1
    lufta.before_read, lufta.failure = do_nothing, None
    deployed.run("lufta")
    assert deployed.history.unfinished() == []
    followed = deployed.attempts("lufta")[1]
    assert followed.outcome is Outcome.SUCCEEDED
