"""The repository and its commits: which one counts, and what is said of the others."""

import threading
from pathlib import Path

import pytest

from reconciler.errors import EvaluationError, SourceError
from reconciler.loop import Done, repository_watch
from reconciler.loop.daemon import Daemon
from reconciler.model import Commit
from reconciler.revisions.repository import RETRY_UNREADABLE, Repository
from reconciler.revisions.trust import UntrustedError
from reconciler.settings import VerifySettings
from tests.support.scene import Scene
from tests.support.wait import wait_until
from tests.support.world import toplevel_of

BOT = "withinbot.service"
A = {"lufta": {BOT: "1"}}
B = {"lufta": {BOT: "2"}}
UNREADABLE = EvaluationError("network.nix:3:1: syntax error", file="network.nix")


def test_a_look_returns_a_revision_once(scene: Scene) -> None:
    commit = scene.push(A, "First")

    revision = scene.repository.look()

    assert revision is not None
    assert (revision.commit, revision.hosts) == (commit, ("lufta",))
    assert revision is scene.repository.current
    assert scene.repository.look() is None
    assert scene.history.last_commit() == commit
    info = f'reconciler_commit_info{{branch="main",commit="{commit.id}"}}'
    assert scene.metric(info) == 1
    assert scene.metric("reconciler_last_fetch_timestamp_seconds") == scene.clock()


def test_only_the_first_revision_of_a_process_is_marked(scene: Scene) -> None:
    scene.push(A)
    first = scene.repository.look()
    scene.push(B)
    second = scene.repository.look()

    assert first is not None
    assert second is not None
    assert (first.first, second.first) == (True, False)


def test_a_repository_that_is_away_leaves_the_hosts_served(scene: Scene) -> None:
    scene.commit(A)
    current = scene.repository.current
    scene.mirror.away = "ssh: connect to host git.example: Connection refused"

    for _ in range(3):
        with pytest.raises(SourceError, match="Connection refused"):
            scene.look()

    assert scene.repository.current is current
    assert scene.run("lufta") == Done()
    assert "Connection refused" in scene.history.repository.problem()
    assert len(scene.history.events()) == 1, "news is recorded once"
    assert scene.metric("reconciler_fetch_failures_total") == 3

    scene.mirror.away = ""
    scene.look()

    assert scene.history.repository.problem() == ""


def test_that_somebody_who_only_looks_cannot_read_it_is_told_to_nobody(
    scene: Scene,
) -> None:
    scene.commit(A)
    scene.look()
    events = scene.history.events()
    scene.mirror.away = "Permission denied (publickey)"
    asking = Repository(scene.world, tells=False)

    asking.look()

    assert "Permission denied" in asking.problem
    assert scene.history.events() == events
    assert scene.history.repository.problem() == ""


def test_a_shorter_poll_counts_while_the_repository_is_away_too(scene: Scene) -> None:
    """The waits after errors grow from what the settings say now."""
    scene.mirror.away = "Connection refused"
    looks: list[float] = []
    scene.mirror.before_fetch = lambda: looks.append(scene.clock())
    poll(scene, 86400.0)
    daemon = Daemon(scene.world)

    poll(scene, 0.1)
    daemon.start()

    try:
        wait_until(lambda: len(looks) > 2, 20.0, "two more looks")
    finally:
        daemon.shut()
        assert daemon.join(20.0)


@pytest.mark.parametrize("fault", ["", "502 Bad Gateway"])
def test_a_push_that_is_announced_before_it_can_be_read_is_found_soon(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A forge may say so before it shows it, or be too busy to be read just then."""
    monkeypatch.setattr(repository_watch, "FOLLOW_UPS", (0.01, 0.02, 0.03, 0.04))
    scene.push({"lufta": {BOT: "1"}})
    looks: list[float] = []
    scene.mirror.before_fetch = lambda: looks.append(scene.clock())
    poll(scene, 86400.0)
    daemon = Daemon(scene.world)
    daemon.start()
    try:
        wait_until(lambda: "commit" in daemon.summary(), 20.0, "the first commit")
        seen = len(looks)
        scene.mirror.away = fault
        daemon.pushed()
        wait_until(lambda: len(looks) >= seen + 2, 20.0, "two looks that bring nothing")
        scene.mirror.away = ""
        commit = scene.push({"lufta": {BOT: "2"}})

        told = f"commit {commit.short}"
        wait_until(lambda: told in daemon.summary(), 20.0, told)
    finally:
        daemon.shut()
        assert daemon.join(20.0)


def test_a_look_under_way_is_told(scene: Scene) -> None:
    scene.push({"lufta": {BOT: "1"}})
    begun, end = threading.Event(), threading.Event()

    def fetch_slowly() -> None:
        begun.set()
        assert end.wait(20.0)

    scene.mirror.before_fetch = fetch_slowly
    daemon = Daemon(scene.world)
    daemon.start()
    try:
        assert begun.wait(20.0)
        assert daemon.doing() == ""
        assert look_started(scene) == scene.clock()
        scene.clock.advance(95.0)
        assert daemon.doing() == "looking at the repository for 95 s"
        assert daemon.doing() in daemon.summary()
        end.set()
        wait_until(lambda: not daemon.doing(), 20.0, "the end of the look")
        wait_until(lambda: look_started(scene) == 0, 20.0, "its metric")
    finally:
        end.set()
        daemon.shut()
        assert daemon.join(20.0)


def look_started(scene: Scene) -> float:
    lines = scene.metrics.render()[0].decode().splitlines()
    name = "reconciler_look_started_timestamp_seconds "
    return float(next(x for x in lines if x.startswith(name)).removeprefix(name))


def poll(scene: Scene, seconds: float) -> None:
    """Have the repository be looked at every *seconds* from now on."""
    settings, policy = scene.world.live.now
    repository = settings.repository.model_copy(update={"poll": seconds})
    now = settings.model_copy(update={"repository": repository})
    scene.world.live.use(now, policy)


def test_a_restart_while_the_repository_is_away_serves_the_mirror(scene: Scene) -> None:
    scene.commit(A)
    scene.run("lufta")
    scene.restart()
    scene.mirror.away = "Connection refused"

    scene.look()

    assert scene.run("lufta") == Done()
    assert scene.status("lufta").in_sync
    assert scene.repository.problem == "Connection refused"


def test_without_a_mirror_nothing_can_be_served(scene: Scene) -> None:
    scene.push(A)
    scene.mirror.away = "Connection refused"

    with pytest.raises(SourceError, match="Connection refused"):
        scene.look()

    assert scene.repository.current is None
    assert scene.run("lufta") == Done()
    assert scene.history.statuses() == []


def test_a_commit_that_cannot_be_read_is_passed_over(scene: Scene) -> None:
    scene.commit(A)
    scene.run("lufta")
    bad = scene.push(UNREADABLE)

    with pytest.raises(EvaluationError, match="syntax error"):
        scene.look()

    lufta = scene.machine("lufta")
    lufta.change(BOT, active_state="inactive")
    scene.run("lufta")
    scene.clock.advance(60)
    assert scene.run("lufta") == Done()
    assert lufta.running == toplevel_of("lufta", A["lufta"])
    assert scene.status("lufta").commit != bad.id
    problem = scene.history.repository.problem()
    assert bad.short in problem
    assert "syntax error" in problem
    assert scene.metric('reconciler_evaluations_total{host="",result="failed"}') == 1
    assert scene.metric('reconciler_evaluation_failing{host=""}') == 1

    scene.commit(B)

    assert scene.metric('reconciler_evaluation_failing{host=""}') == 0

    assert scene.run("lufta") == Done()
    assert lufta.running == toplevel_of("lufta", B["lufta"])
    assert scene.history.repository.problem() == ""


def test_a_commit_that_cannot_be_read_is_not_evaluated_at_each_look(
    scene: Scene,
) -> None:
    """It may take minutes to fail: an infinite recursion, a fetch that never ends."""
    scene.commit(A)
    scene.push(UNREADABLE)
    listed = scene.evaluator.listed
    for _ in range(5):
        with pytest.raises(EvaluationError):
            scene.look()
        scene.clock.advance(60)
    assert scene.evaluator.listed == listed + 1
    assert "syntax error" in scene.history.repository.problem()
    assert scene.repository.problem

    scene.clock.advance(RETRY_UNREADABLE)
    with pytest.raises(EvaluationError):
        scene.look()

    assert scene.evaluator.listed == listed + 2


def test_going_back_to_the_commit_before_an_unreadable_one(scene: Scene) -> None:
    """A force-push away from the bad commit: nothing new, and all is well again."""
    scene.commit(A)
    scene.push(UNREADABLE)
    with pytest.raises(EvaluationError):
        scene.look()
    del scene.mirror.commits[-1]

    assert scene.repository.look() is None

    assert scene.repository.problem == ""
    assert scene.history.repository.problem() == ""
    assert scene.metric('reconciler_evaluation_failing{host=""}') == 0


# --- commits that may not count --------------------------------------------------


def signed(scene: Scene) -> None:
    """Have the settings ask for signatures."""
    old = scene.settings
    verify = VerifySettings(allowed_signers=Path("/etc/allowed"))
    repository = old.repository.model_copy(update={"verify": verify})
    scene.settings = old.model_copy(update={"repository": repository})
    scene.restart()


def stranger_pushes(scene: Scene) -> Commit:
    """Push a commit that is not well signed, and one on top that is."""
    bad = scene.push(B)
    scene.mirror.flaws[bad.id] = "No principal matched."
    return scene.push({"lufta": {BOT: "3"}})


def test_a_commit_that_is_not_signed_never_counts(scene: Scene) -> None:
    signed(scene)
    good = scene.commit(A)
    scene.run("lufta")
    scene.run("lufta")
    newest = stranger_pushes(scene)
    listed = scene.evaluator.listed

    for _ in range(2):
        with pytest.raises(UntrustedError, match="No principal matched"):
            scene.look()

    assert scene.evaluator.listed == listed, "Nix is not shown it"
    bad = scene.mirror.commits[-2]
    problem = scene.history.repository.problem()
    assert problem.startswith(f"commit {bad.id} in commit {newest.short} is not")
    assert [event.kind for event in scene.history.events()] == ["commit-untrusted"]
    assert scene.metric("reconciler_commit_untrusted") == 1
    assert scene.metric("reconciler_commit_withheld") == 0
    scene.machine("lufta").change(BOT, active_state="inactive")
    scene.run("lufta")
    status = scene.status("lufta")
    assert (status.in_sync, status.commit) == (True, good.id), "it stays served"


def test_a_commit_that_is_not_signed_stays_out_until_its_key_is_trusted(
    scene: Scene,
) -> None:
    signed(scene)
    good = scene.commit(A)
    newest = stranger_pushes(scene)
    with pytest.raises(UntrustedError, match="cannot be approved"):
        Daemon(scene.world).approvable(newest.id)

    scene.restart()
    with pytest.raises(UntrustedError):
        scene.look()
    assert scene.repository.current is not None
    assert scene.repository.current.commit == good

    scene.mirror.flaws.clear()
    scene.look()
    assert scene.repository.current.commit == newest
    assert scene.metric("reconciler_commit_untrusted") == 0
    assert scene.history.repository.problem() == ""


def test_that_a_fall_back_is_read_is_told_and_hinders_nothing(scene: Scene) -> None:
    scene.mirror.fallback = "it is away; read from the fall-back /copy meanwhile"
    commit = scene.commit(A)

    assert scene.repository.current is not None
    assert scene.repository.current.commit == commit
    assert scene.repository.problem == ""
    assert "read from the fall-back" in scene.history.repository.problem()
    assert scene.metric("reconciler_repository_fallback") == 1

    scene.mirror.away, scene.mirror.fallback = "all are away", ""
    with pytest.raises(SourceError):
        scene.look()
    assert scene.metric("reconciler_repository_fallback") == 0

    scene.mirror.away = ""
    scene.look()

    assert scene.history.repository.problem() == ""
    assert scene.metric("reconciler_repository_fallback") == 0
