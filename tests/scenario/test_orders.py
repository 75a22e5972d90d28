"""Hosts that somebody holds, and systems that failed on a host."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import BuildError
from reconciler.loop import Again, Done, Orders
from reconciler.loop.daemon import Daemon
from reconciler.loop.orders import OrderWatch
from reconciler.model import HostName, Quarantine, StorePath, Verdict
from tests.support.host import FakeHost
from tests.support.scene import Scene
from tests.support.wait import wait_until
from tests.support.world import toplevel_of

BOT = "withinbot.service"
A = {"lufta": {BOT: "1"}}
B = {"lufta": {BOT: "2"}}
LUFTA = HostName("lufta")
SOON = 60.0  # seconds that anything may take here
HOUR = 3600.0


def orders(scene: Scene) -> Orders:
    return Orders(history=scene.history, now=scene.clock(), actor="cadey")


def hold(scene: Scene, reason: str, seconds: float | None = None) -> None:
    """Hold lufta."""
    given = orders(scene)
    given.hold(given.drafted([LUFTA], reason=reason, seconds=seconds))


def fail(scene: Scene, toplevel: StorePath) -> None:
    """Remember that a system failed."""
    scene.history.quarantine(
        Quarantine(
            host=LUFTA,
            toplevel=toplevel,
            reason="it did not stay up",
            since=scene.clock(),
            attempt="a",
        )
    )


def test_a_held_host_is_looked_at_and_not_touched(scene: Scene) -> None:
    hold(scene, "disk is being changed")
    scene.commit(A)

    assert scene.run("lufta") == Done()

    status = scene.status("lufta")
    assert (status.verdict, status.reachable) == (Verdict.HELD, True)
    assert status.error == "held: disk is being changed"
    assert scene.attempts("lufta") == []
    assert scene.metric('reconciler_held{host="lufta"}') == 1
    since = 'reconciler_held_since_timestamp_seconds{host="lufta"}'
    assert scene.metric(since) == scene.clock()

    scene.restart()
    scene.look()
    assert scene.run("lufta") == Done(), "a hold survives a restart"
    assert orders(scene).release([LUFTA]) == [LUFTA]
    assert scene.attempts("lufta") == []


@pytest.mark.parametrize("verdict", [Verdict.HELD, Verdict.QUARANTINED])
def test_what_is_ordered_while_a_host_is_looked_at_counts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    """
    By another process.

    Else the pass would undo its rollback, or try what has just failed there.
    """
    scene.commit(A)
    scene.run("lufta")
    scene.commit(B)
    read, old = FakeHost.read, scene.machine("lufta").running

    def held(host: FakeHost, script: str, *, what: str, deadline: float) -> str:
        told = read(host, script, what=what, deadline=deadline)
        if what == "probe":
            monkeypatch.undo()
            if verdict is Verdict.HELD:
                hold(scene, "taken back")
            else:
                fail(scene, toplevel_of("lufta", B["lufta"]))
        return told

    monkeypatch.setattr(FakeHost, "read", held)
    before = len(scene.attempts("lufta"))

    assert scene.run("lufta") == Again(0.0)

    assert scene.run("lufta") == Done()
    assert scene.machine("lufta").running == old
    assert len(scene.attempts("lufta")) == before
    assert scene.status("lufta").verdict is verdict


def test_a_hold_ends_with_its_time(scene: Scene) -> None:
    hold(scene, "maintenance", HOUR)
    scene.commit(A)
    scene.evaluator.build_error = BuildError("no", host="lufta")

    scene.clock.advance(HOUR - 1)
    scene.run("lufta")
    assert scene.attempts("lufta") == []
    scene.clock.advance(1)
    scene.run("lufta")

    assert len(scene.attempts("lufta")) == 1
    assert scene.metric('reconciler_held{host="lufta"}') == 0
    assert scene.metric('reconciler_held_since_timestamp_seconds{host="lufta"}') == 0


def test_a_system_that_failed_is_not_tried_again(scene: Scene) -> None:
    fail(scene, toplevel_of("lufta", A["lufta"]))
    scene.commit(A)

    assert scene.run("lufta") == Done()

    status = scene.status("lufta")
    assert status.verdict is Verdict.QUARANTINED
    assert status.error.endswith("it did not stay up")
    assert "reconciler retry lufta" in status.error
    assert status.quarantine is not None
    assert status.quarantine.attempt == "a"
    assert scene.attempts("lufta") == []
    assert scene.metric('reconciler_quarantined{host="lufta"}') == 1


def test_another_commit_is_tried_and_the_failed_one_still_is_not(scene: Scene) -> None:
    fail(scene, toplevel_of("lufta", A["lufta"]))
    scene.evaluator.build_error = BuildError("no", host="lufta")

    scene.commit(B)
    scene.run("lufta")
    assert len(scene.attempts("lufta")) == 1
    assert scene.metric('reconciler_quarantined{host="lufta"}') == 0
    scene.commit(A)
    scene.run("lufta")
    assert len(scene.attempts("lufta")) == 1


def test_a_host_of_which_nothing_is_known_can_still_be_released(scene: Scene) -> None:
    hold(scene, "it is yet to come")

    assert orders(scene).hosts() == {LUFTA: ()}
    scene.commit(A)
    scene.run("lufta")
    assert orders(scene).hosts() == {LUFTA: ("home",)}


def test_an_attempt_goes_on_though_its_host_is_held_meanwhile(scene: Scene) -> None:
    scene.commit(A)
    scene.evaluator.before_build = lambda: _hold(scene)

    assert scene.run("lufta") == Done()

    (attempt,) = scene.attempts("lufta")
    assert attempt.message == ""
    assert scene.status("lufta").in_sync
    assert scene.status("lufta").hold is not None


def _hold(scene: Scene) -> None:
    hold(scene, "too late")


# --- a daemon that runs ----------------------------------------------------------


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Scene]:
    """Return a scene in which hosts are looked at once in an hour."""
    scene = Scene(tmp_path, interval=HOUR)
    scene.push(A)
    scene.evaluator.build_error = BuildError("no", host="lufta")
    yield scene
    scene.close()


@contextlib.contextmanager
def running(scene: Scene) -> Iterator[None]:
    daemon = Daemon(scene.world)
    daemon.start()
    try:
        yield
    finally:
        daemon.shut()
        assert daemon.join(SOON), "every thread ends"


def verdict(scene: Scene) -> Verdict | None:
    found = {one.host: one.verdict for one in scene.history.statuses()}
    return found.get(LUFTA)


def wait_for(scene: Scene, wanted: Verdict) -> None:
    wait_until(lambda: verdict(scene) is wanted, SOON, f"lufta to be {wanted.value}")


def test_a_daemon_notices_a_hold_and_a_release(busy: Scene) -> None:
    fail(busy, toplevel_of("lufta", A["lufta"]))
    with running(busy):
        wait_for(busy, Verdict.QUARANTINED)
        hold(busy, "wait")
        wait_for(busy, Verdict.HELD)
        orders(busy).release([LUFTA])
        wait_for(busy, Verdict.QUARANTINED)


def test_a_daemon_notices_that_the_time_of_a_hold_is_over(busy: Scene) -> None:
    fail(busy, toplevel_of("lufta", A["lufta"]))
    hold(busy, "wait", HOUR)
    with running(busy):
        wait_for(busy, Verdict.HELD)
        busy.clock.advance(HOUR)
        wait_for(busy, Verdict.QUARANTINED)


def test_a_retry_lifts_the_quarantine_and_ends_the_wait(busy: Scene) -> None:
    fail(busy, toplevel_of("lufta", A["lufta"]))
    with running(busy):
        wait_for(busy, Verdict.QUARANTINED)
        assert orders(busy).retry([LUFTA]) == [LUFTA]
        _wait_attempts(busy, 1)
        for count in (2, 3):
            # The wait after an attempt grows, and the clock here stands still.
            assert orders(busy).retry([LUFTA]) == []
            _wait_attempts(busy, count)


def _wait_attempts(scene: Scene, count: int) -> None:
    wait_until(
        lambda: (
            sum(one.ended_at is not None for one in scene.attempts("lufta")) >= count
        ),
        SOON,
        f"{count} attempts",
    )


def test_what_was_ordered_while_history_was_away_is_seen_after(busy: Scene) -> None:
    watch = OrderWatch(busy.world)
    assert watch.news() == []
    orders(busy).retry([LUFTA])

    _change_database(busy, "ALTER TABLE events RENAME TO lost")
    assert watch.news() == []
    _change_database(busy, "ALTER TABLE lost RENAME TO events")

    assert [one.kind for one in watch.news()] == ["retry"]
    assert watch.news() == []


def _change_database(scene: Scene, sql: str) -> None:
    file = scene.settings.state.path / "history.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute(sql)
