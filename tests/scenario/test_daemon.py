"""The daemon's threads: what makes them look, and what they survive."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from reconciler.errors import ConnectError, EvaluationError
from reconciler.loop.daemon import Daemon
from reconciler.loop.repository_watch import SILENT_LIMIT
from reconciler.model import HostName, HostStatus, Mode, Outcome, Policy, Verdict
from reconciler.source import LOOK_DEADLINE
from reconciler.source.command import FETCH_DEADLINE
from tests.support.scene import Scene
from tests.support.wait import wait_until
from tests.support.world import do_nothing, toplevel_of

BOT = "withinbot.service"
FACTS = "printerfacts.service"
A = {"lufta": {BOT: "1"}, "keanu": {FACTS: "1"}}
B = {"lufta": {BOT: "2"}, "keanu": {FACTS: "1"}}
OFTEN = 0.02  # seconds between two looks
SOON = 60.0  # seconds that anything may take here


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path, interval=OFTEN)
    scene.push(A)
    yield scene
    scene.close()


@contextlib.contextmanager
def running(scene: Scene) -> Iterator[Daemon]:
    daemon = Daemon(scene.world)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.shut()
        assert daemon.join(SOON), "every thread ends"


def in_sync(scene: Scene, *hosts: str) -> bool:
    synced = {one.host for one in scene.history.statuses() if one.in_sync}
    return synced >= set(hosts)


def wait_in_sync(scene: Scene, *hosts: str) -> None:
    wait_until(lambda: in_sync(scene, *hosts), SOON, f"{hosts} to be in sync")


def steps_of(scene: Scene, host: str) -> set[str]:
    return {step.name for one in scene.attempts(host) for step in one.steps}


def passes(scene: Scene, host: str, result: str) -> float:
    series = f'reconciler_passes_total{{host="{host}",result="{result}"}}'
    return scene.metric(series) or 0.0


def test_what_was_pushed_is_deployed_to_every_host(scene: Scene) -> None:
    with running(scene) as daemon:
        wait_in_sync(scene, "lufta", "keanu")
        assert daemon.problem() == ""
        scene.push(B)
        daemon.look_again()
        lufta = scene.machine("lufta")
        system = toplevel_of("lufta", B["lufta"])
        wait_until(lambda: lufta.profile == system, SOON, "the second commit")

    assert len(scene.attempts("keanu")) == 1


def test_hosts_are_looked_at_again_and_again(scene: Scene) -> None:
    with running(scene):
        wait_in_sync(scene, "lufta", "keanu")
        scene.machine("lufta").change(BOT, active_state="inactive")
        scene.clock.advance(3600)  # beyond the wait after the deployment
        wait_until(
            lambda: f"start {BOT}" in steps_of(scene, "lufta"),
            SOON,
            "the service to be started",
        )


def test_a_bug_costs_one_pass(scene: Scene) -> None:
    """The worker lives, the host is tried again, the others notice nothing."""
    lufta = scene.machine("lufta")

    def divide() -> None:
        lufta.before_read = do_nothing
        _ = 1 // 0

    lufta.before_read = divide
    with running(scene) as daemon:
        wait_in_sync(scene, "lufta", "keanu")
        assert daemon.problem() == ""

    wrong = passes(scene, "lufta", "error") + passes(scene, "keanu", "error")
    assert wrong == 1


def test_a_bug_in_the_look_at_the_repository_costs_one_look(scene: Scene) -> None:
    del scene.mirror.commits[:]  # IndexError

    with running(scene) as daemon:
        wait_until(lambda: not daemon.problem(), SOON, "the daemon to run")
        scene.push(A)
        wait_in_sync(scene, "lufta", "keanu")


def test_a_dead_host_delays_nobody(scene: Scene) -> None:
    """It hangs until the test lets it go, and holds one worker meanwhile."""
    let_go = threading.Event()
    scene.machine("keanu").before_read = lambda: _hang(let_go)

    with running(scene) as daemon:
        wait_in_sync(scene, "lufta")
        scene.push(B)
        daemon.look_again()
        wait_until(
            lambda: scene.machine("lufta").profile == toplevel_of("lufta", B["lufta"]),
            SOON,
            "lufta to get the next commit",
        )
        let_go.set()
        wait_until(lambda: passes(scene, "keanu", "error"), SOON, "keanu's pass")

    assert [one.error for one in scene.history.statuses() if one.host == "keanu"] == [
        "keanu: no answer"
    ]


def _hang(let_go: threading.Event) -> None:
    assert let_go.wait(SOON)
    message = "keanu: no answer"
    raise ConnectError(message, host="keanu")


def test_a_host_that_leaves_is_forgotten_and_left_alone(scene: Scene) -> None:
    with running(scene) as daemon:
        wait_in_sync(scene, "lufta", "keanu")
        keanu = scene.machine("keanu")
        commands, system = keanu.commands, keanu.running
        roots = scene.settings.state.path / "gcroots"
        assert {root.name for root in roots.iterdir()} == {"lufta", "keanu"}
        without = scene.push({"lufta": {BOT: "1"}}, "Sell keanu")
        daemon.look_again()
        wait_until(
            lambda: [one.host for one in scene.history.statuses()] == ["lufta"],
            SOON,
            "keanu to be forgotten",
        )
        seen = passes(scene, "lufta", "success")
        wait_until(
            lambda: passes(scene, "lufta", "success") > seen + 5, SOON, "some passes"
        )

    assert (keanu.commands, keanu.running) == (commands, system)
    left = scene.history.lookings.left(HostName("keanu"))
    assert left is not None
    assert left.text == f"commit {without.id[:8]} has it no more: Sell keanu"
    assert scene.history.lookings.left(HostName("lufta")) is None
    assert 'host="keanu"' not in scene.metrics.render()[0].decode()
    assert set(scene.connections.forgotten) == {"keanu"}
    assert [one.host for one in scene.history.statuses()] == ["lufta"]
    assert [root.name for root in roots.iterdir()] == ["lufta"], "Nix may collect it"


def test_a_host_that_left_while_its_status_was_saved_leaves_no_trace(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pass looked whether the host is still there, and then it left."""
    let_go, begun, armed = threading.Event(), threading.Event(), threading.Event()
    save = scene.history.save_status

    def save_slowly(status: HostStatus) -> None:
        if status.host == "keanu" and armed.is_set() and not begun.is_set():
            begun.set()
            assert let_go.wait(SOON)
        save(status)

    monkeypatch.setattr(scene.history, "save_status", save_slowly)
    with running(scene) as daemon:
        wait_in_sync(scene, "lufta", "keanu")
        armed.set()
        assert begun.wait(SOON)
        scene.push({"lufta": {BOT: "1"}})
        daemon.look_again()
        wait_until(lambda: not in_sync(scene, "keanu"), SOON, "keanu to be forgotten")
        forgotten = len(scene.connections.forgotten)
        let_go.set()
        wait_until(
            lambda: len(scene.connections.forgotten) > forgotten, SOON, "the pass's end"
        )

    assert [one.host for one in scene.history.statuses()] == ["lufta"]


def test_a_host_that_left_during_its_pass_can_come_back(scene: Scene) -> None:
    let_go, begun = threading.Event(), threading.Event()
    keanu = scene.machine("keanu")

    def hang() -> None:
        keanu.before_read = lambda: None
        begun.set()
        assert let_go.wait(SOON)

    with running(scene) as daemon:
        wait_in_sync(scene, "lufta", "keanu")
        keanu.before_read = hang
        assert begun.wait(SOON)
        scene.push({"lufta": {BOT: "1"}})
        daemon.look_again()
        wait_until(lambda: not in_sync(scene, "keanu"), SOON, "keanu to be forgotten")
        let_go.set()
        seen = passes(scene, "lufta", "success")
        wait_until(
            lambda: passes(scene, "lufta", "success") > seen + 10,
            SOON,
            "keanu's pass to have ended meanwhile",
        )

        scene.push({"lufta": {BOT: "1"}, "keanu": {FACTS: "2"}})
        daemon.look_again()
        system = toplevel_of("keanu", {FACTS: "2"})
        wait_until(lambda: keanu.profile == system, SOON, "keanu's next commit")


def test_a_host_that_left_while_we_were_away_is_forgotten_too(scene: Scene) -> None:
    with running(scene):
        wait_in_sync(scene, "lufta", "keanu")
    scene.restart()
    scene.push({"lufta": {BOT: "1"}})

    with running(scene):
        wait_until(
            lambda: [one.host for one in scene.history.statuses()] == ["lufta"],
            SOON,
            "keanu to be forgotten",
        )

    assert 'host="keanu"' not in scene.metrics.render()[0].decode()


def test_after_a_restart_metrics_tell_at_once_what_is_known(scene: Scene) -> None:
    with running(scene):
        wait_in_sync(scene, "lufta", "keanu")
    scene.restart()
    scene.mirror.away = "Connection refused"
    scene.mirror.fetched = None

    with running(scene):
        assert scene.metric('reconciler_host_in_sync{host="lufta"}') == 1


def test_an_unreadable_commit_neither_stops_nor_starves_hosts(scene: Scene) -> None:
    with running(scene) as daemon:
        wait_in_sync(scene, "lufta", "keanu")
        scene.push(EvaluationError("syntax error"))
        daemon.look_again()
        failures = 'reconciler_evaluations_total{host="",result="failed"}'
        wait_until(lambda: scene.metric(failures), SOON, "the evaluation to fail")
        scene.machine("lufta").change(BOT, active_state="inactive")
        scene.clock.advance(60)  # beyond the wait after the deployment
        wait_until(lambda: len(scene.attempts("lufta")) > 1, SOON, "lufta to be healed")
        assert daemon.problem() == ""


def test_checkouts_of_old_commits_are_removed(scene: Scene) -> None:
    with running(scene) as daemon:
        wait_in_sync(scene, "lufta", "keanu")
        for version in ("2", "3", "4"):
            content = {"lufta": {BOT: version}, "keanu": {FACTS: "1"}}
            scene.push(content)
            daemon.look_again()
            system = toplevel_of("lufta", content["lufta"])
            wait_until(
                lambda system=system: scene.machine("lufta").profile == system,  # type: ignore[misc]
                SOON,
                f"version {version}",
            )

    assert scene.mirror.checkouts == {one.id for one in scene.mirror.commits[-2:]}


def test_a_pass_keeps_its_checkout_however_many_commits_arrive(scene: Scene) -> None:
    begun, let_go = threading.Semaphore(0), threading.Event()

    def build() -> None:
        begun.release()
        assert let_go.wait(SOON)

    def ids(*numbers: int) -> set[str]:
        return {scene.mirror.commits[number].id for number in numbers}

    def push(version: str) -> None:
        commit = scene.push({"lufta": {BOT: version}, "keanu": {FACTS: "1"}})
        daemon.look_again()
        there = scene.mirror.checkouts
        wait_until(lambda: commit.id in scene.mirror.checkouts, SOON, str(there))

    scene.evaluator.before_build = build
    with running(scene) as daemon:
        for _ in ("lufta", "keanu"):  # both by the first commit
            assert begun.acquire(timeout=SOON)
        for version in ("2", "3", "4"):
            push(version)
        left = ids(0, 2, 3)
        wait_until(lambda: scene.mirror.checkouts == left, SOON, "only 1 to be pruned")
        let_go.set()
        wait_in_sync(scene, "lufta", "keanu")
        push("5")
        left = ids(3, 4)
        wait_until(lambda: scene.mirror.checkouts == left, SOON, "0 to be pruned, too")


def test_a_daemon_that_is_stopped_in_an_attempt_leaves_it_to_its_guardian(
    scene: Scene,
) -> None:
    """And takes it up again when it is back: nothing is lost, nothing done twice."""
    begun, let_go = threading.Event(), threading.Event()

    def build() -> None:
        begun.set()
        assert let_go.wait(SOON)

    scene.evaluator.before_build = build
    with running(scene) as daemon:
        assert begun.wait(SOON)
        daemon.shut()
        assert not daemon.join(0.0), "what is under way is waited for"
        let_go.set()

    unfinished = scene.history.unfinished()
    assert unfinished
    scene.restart()
    with running(scene):
        wait_in_sync(scene, "lufta", "keanu")
    for attempt in unfinished:
        (followed,) = scene.attempts(attempt.host)
        assert (followed.id, followed.outcome) == (attempt.id, Outcome.SUCCEEDED)


def test_the_daemon_sums_itself_up_in_one_line(scene: Scene) -> None:
    """It is what `systemctl status` shows."""
    assert Daemon(scene.world).summary() == ("waiting for a commit: none was read yet")
    begun, let_go = threading.Event(), threading.Event()

    def build() -> None:
        begun.set()
        assert let_go.wait(SOON)

    with running(scene) as daemon:
        wait_in_sync(scene, "lufta", "keanu")
        commit = scene.mirror.commits[-1].short
        assert daemon.summary() == f"commit {commit}, 2 of 2 hosts in sync"

        scene.evaluator.before_build = build
        commit = scene.push({"lufta": {BOT: "2"}, "keanu": {FACTS: "1"}}).short
        daemon.look_again()
        assert begun.wait(SOON)
        told = f"commit {commit}, 1 of 2 hosts in sync, 1 attempt running"
        wait_until(lambda: daemon.summary() == told, SOON, told)
        scene.mirror.away = "Connection refused"
        daemon.look_again()
        told += "; Connection refused"
        wait_until(lambda: daemon.summary() == told, SOON, told)
        let_go.set()


def test_a_daemon_is_not_healthy_before_it_works(scene: Scene) -> None:
    """Its metrics are served a moment before: nobody may take that for readiness."""
    daemon = Daemon(scene.world)

    assert daemon.problem() == "the daemon is starting"
    daemon.start()
    try:
        assert daemon.problem() == ""
    finally:
        daemon.shut()
        assert daemon.join(SOON)


@pytest.mark.parametrize("instead", ["nothing", "another"])
def test_a_daemon_whose_database_was_removed_says_so(
    scene: Scene, instead: str
) -> None:
    """SQLite goes on in the file that nobody else finds, and all of it is lost."""
    with running(scene) as daemon:
        assert daemon.problem() == ""
        file = scene.settings.state.path / "history.sqlite"
        file.rename(file.with_suffix(".away"))
        if instead == "another":
            file.touch()

        assert "history.sqlite was removed or replaced" in daemon.problem()


def test_a_daemon_that_no_longer_looks_says_so(scene: Scene) -> None:
    """As when git hangs for ever; the clock is moved, nothing is waited for."""
    let_go = threading.Event()
    with running(scene) as daemon:
        wait_in_sync(scene, "lufta", "keanu")
        hung = threading.Event()

        def fetch() -> None:
            hung.set()
            assert let_go.wait(SOON)

        scene.mirror.before_fetch = fetch
        assert hung.wait(SOON)
        assert daemon.problem() == ""
        scene.clock.advance(SILENT_LIMIT + FETCH_DEADLINE)
        assert daemon.problem() == "", "a first fetch may take as long as it may"
        scene.clock.advance(LOOK_DEADLINE)
        assert "was not looked at for" in daemon.problem()
        let_go.set()
        wait_until(lambda: not daemon.problem(), SOON, "a sign of life")

    assert "these threads ended" in daemon.problem()


def test_every_line_of_a_pass_has_its_id_and_that_of_its_attempt(scene: Scene) -> None:
    with (
        structlog.testing.capture_logs(
            processors=[structlog.contextvars.merge_contextvars]
        ) as lines,
        running(scene),
    ):
        wait_in_sync(scene, "lufta", "keanu")

    of_hosts = [line for line in lines if "host" in line]
    assert {line["host"] for line in of_hosts} == {"lufta", "keanu"}
    passes = {(line["host"], line["pass"]) for line in of_hosts}
    assert len(passes) == len({number for _, number in passes}), "each has its own"
    for host in ("lufta", "keanu"):
        (attempt,) = scene.attempts(host)
        named = [one for one in of_hosts if one.get("attempt") == attempt.id]
        told = {one["event"] for one in named}
        # A command that is run for the attempt knows nothing of it.
        assert told >= {"attempt", "step", "command", "attempt ended"}
        (in_sync,) = (
            one
            for one in of_hosts
            if (one["host"], one["event"]) == (host, "host is in sync")
        )
        assert in_sync.get("attempt") is None, "the attempt has ended"


def test_a_policy_that_changes_counts_at_once(scene: Scene) -> None:
    """Without a restart, and for whoever looks at a host next."""
    with running(scene) as daemon:
        wait_in_sync(scene, "lufta", "keanu")
        scene.world.live.use(scene.settings, Policy(mode=Mode.REPORT))
        daemon.settings_changed()
        scene.machine("lufta").change(BOT, active_state="inactive")
        wait_until(
            lambda: scene.status("lufta").verdict is Verdict.REPORTED, SOON, "a report"
        )
        assert f"start {BOT}" not in steps_of(scene, "lufta")
        scene.world.live.use(scene.settings, Policy())
        daemon.settings_changed()
        scene.clock.advance(3600)  # beyond the wait after the deployment
        wait_until(
            lambda: f"start {BOT}" in steps_of(scene, "lufta"), SOON, "it to be started"
        )


# --- places ----------------------------------------------------------------------


def test_hosts_that_are_away_take_no_place_from_others(tmp_path: Path) -> None:
    """Two of them, and one place: each takes a deadline whenever it is looked at."""
    scene = Scene(tmp_path, interval=OFTEN, parallel=1)
    away = ("lufta", "chrysalis")
    scene.push({**A, "chrysalis": {FACTS: "1"}})
    go_on, waiting = threading.Event(), threading.Semaphore(0)

    def swallow() -> None:
        waiting.release()
        go_on.wait(SOON)
        message = "no answer in time"
        raise ConnectError(message, host="lufta")

    def refuse() -> None:
        message = "connection refused"
        raise ConnectError(message, host="lufta")

    for name in away:
        scene.machine(name).before_read = refuse
    with running(scene) as daemon:
        wait_in_sync(scene, "keanu")
        wait_until(lambda: set(away) <= unreachable(scene), SOON, "two that are away")
        for name in away:
            scene.machine(name).before_read = swallow
        daemon.settings_changed()
        assert waiting.acquire(timeout=SOON)
        before = passes(scene, "keanu", "success")

        wait_until(
            lambda: passes(scene, "keanu", "success") > before + 3, SOON, "others"
        )
        # There is one place for those that are away, and it is taken.
        assert not waiting.acquire(blocking=False)

        for name in away:
            scene.machine(name).before_read = do_nothing
        go_on.set()
        wait_in_sync(scene, *away)
    scene.close()


def unreachable(scene: Scene) -> set[str]:
    return {one.host for one in scene.history.statuses() if not one.reachable}
