"""What people and forges are told of what happens to hosts, through the whole loop."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import EvaluationError, SourceError
from reconciler.loop import Done, Orders
from reconciler.loop.daemon import Daemon
from reconciler.messages import Mark, MarkState
from reconciler.model import Commit, Hold, HostName, Policy, UnitName
from reconciler.notify.words import fields_of
from reconciler.revisions.repository import WithheldError
from reconciler.revisions.trust import UntrustedError
from reconciler.settings import Settings, VerifySettings
from tests.support.scene import Scene
from tests.support.wait import wait_until
from tests.support.world import FAILED

BOT, FACTS = "withinbot.service", "printerfacts.service"
A = {"lufta": {BOT: "1"}, "keanu": {FACTS: "1"}}
B = {"lufta": {BOT: "2"}, "keanu": {FACTS: "1"}}
NOBODY = {
    "notify": {"targets": [{"name": "phone", "url": "json://127.0.0.1:9/"}]},
    "statuses": {
        "provider": "github",
        "repository": "me/x",
        "token_file": "/nowhere",
        "url": "http://127.0.0.1:9",
    },
}
FORGE = "github me/x reconciler"
SOON = 60.0  # seconds


def told_to(scene: Scene) -> Scene:
    """Have somebody told of *scene*; nothing is sent, since nobody starts that."""
    whole = scene.settings.model_dump(mode="json")
    scene.settings = Settings.model_validate({**whole, **NOBODY})
    scene.restart()
    return scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = told_to(Scene(tmp_path))
    yield scene
    scene.close()


def arrive(scene: Scene) -> None:
    """Do what the daemon does when a commit has come."""
    revision = scene.repository.current
    assert revision is not None
    scene.notify.arrived(revision.commit, revision.hosts)


def deploy(scene: Scene, content: dict[str, dict[str, str]] = A) -> None:
    scene.commit(content)
    arrive(scene)
    for host in content:
        scene.run(host)


def letters(scene: Scene) -> list[str]:
    found = (one.message for one in scene.history.outbox.waiting("phone"))
    return [f"{one.kind.value} {one.host}".strip() for one in found]


def mark(scene: Scene) -> tuple[MarkState, str]:
    """Return what is told of the newest commit."""
    newest = scene.mirror.commits[-1].id
    (found,) = (one for one in marks(scene) if one.commit == newest)
    return found.state, found.text


def marks(scene: Scene) -> list[Mark]:
    return [one.mark for one in scene.history.outbox.waiting_marks(FORGE)]


def test_the_first_deployment_is_told_and_a_second_look_is_not(scene: Scene) -> None:
    deploy(scene)
    for host in A:
        assert scene.run(host) == Done()

    assert letters(scene) == ["deployed lufta", "deployed keanu"]
    assert mark(scene) == (MarkState.SUCCESS, "on 2 hosts")


def test_only_the_host_that_a_commit_changes_is_told_of(scene: Scene) -> None:
    deploy(scene)
    before = len(letters(scene))

    deploy(scene, B)

    assert letters(scene)[before:] == ["deployed lufta"]
    assert mark(scene) == (MarkState.SUCCESS, "on 2 hosts")


def test_a_service_that_is_healed_is_told(scene: Scene) -> None:
    deploy(scene)
    scene.clock.advance(60)
    scene.run("lufta")
    scene.machine("lufta").change(BOT, **FAILED)

    scene.run("lufta")

    assert letters(scene)[-1] == "healed lufta"
    assert mark(scene)[0] is MarkState.SUCCESS


def test_drift_that_is_not_healed_is_told_and_its_end(scene: Scene) -> None:
    deploy(scene)
    scene.restart(Policy(heal=False))
    scene.look()
    arrive(scene)
    scene.machine("lufta").change(BOT, active_state="inactive", sub_state="dead")
    scene.run("lufta")
    scene.run("lufta")
    scene.machine("lufta").change(BOT, active_state="active", sub_state="running")

    scene.run("lufta")

    assert letters(scene)[2:] == ["drift lufta", "healed lufta"]
    assert mark(scene)[0] is MarkState.SUCCESS, "later drift is not the commit's doing"


def test_a_deployment_that_fails_is_told_once_and_its_success(scene: Scene) -> None:
    deploy(scene)
    with scene.full_disk():
        deploy(scene, B)
        state, text = mark(scene)
        scene.clock.advance(3600)
        scene.run("lufta")
    scene.clock.advance(3600)

    scene.run("lufta")

    assert letters(scene)[2:] == ["failed lufta", "deployed lufta"]
    assert state is MarkState.FAILURE
    assert text.startswith("lufta: ")
    assert "No space left on device" in text
    assert mark(scene) == (MarkState.SUCCESS, "on 2 hosts")


def test_a_host_that_does_not_evaluate_fails_alone(scene: Scene) -> None:
    deploy(scene)
    broken = EvaluationError("undefined variable 'foo'", host="lufta")
    scene.commit({**A, "lufta": broken})
    arrive(scene)
    for host in A:
        scene.run(host)

    assert letters(scene)[2:] == ["evaluation-failed lufta"]
    state, text = mark(scene)
    assert state is MarkState.FAILURE
    assert "lufta: does not evaluate: undefined variable 'foo'" in text

    deploy(scene, B)

    assert letters(scene)[3:] == ["deployed lufta", "recovered lufta"]


def test_a_rollback_is_told_once_and_what_comes_after_it(scene: Scene) -> None:
    deploy(scene)
    scene.machine("lufta").dying.add(UnitName(BOT))
    deploy(scene, B)
    for _ in range(3):
        scene.clock.advance(4000)
        scene.run("lufta")
    state, text = mark(scene)
    scene.machine("lufta").dying.clear()

    deploy(scene, {**B, "lufta": {BOT: "3"}})

    assert letters(scene)[2:] == ["rolled-back lufta", "deployed lufta"]
    assert state is MarkState.FAILURE
    assert BOT in text
    assert mark(scene) == (MarkState.SUCCESS, "on 2 hosts")


def test_a_hold_and_what_waits_for_it(scene: Scene) -> None:
    deploy(scene)
    hold = Hold(host=HostName("lufta"), reason="mine", actor="me", since=scene.clock())
    scene.history.hold(hold)
    deploy(scene, B)
    waits = mark(scene)
    scene.history.release(HostName("lufta"), now=scene.clock(), actor="me")

    scene.run("lufta")

    assert letters(scene)[2:] == ["held lufta", "deployed lufta", "released lufta"]
    assert waits == (MarkState.PENDING, "on its way to 2 hosts; lufta is held")
    assert mark(scene) == (MarkState.SUCCESS, "on 2 hosts")


def test_a_host_that_goes_away_and_comes_back(scene: Scene) -> None:
    deploy(scene)
    scene.machine("lufta").disconnect()
    scene.run("lufta")
    scene.machine("lufta").failure = None

    scene.run("lufta")

    assert letters(scene)[2:] == ["unreachable lufta", "back lufta"]


def test_a_commit_does_not_wait_for_ever_for_a_host_that_is_off(scene: Scene) -> None:
    """Also if the reconciler is started anew meanwhile."""
    deploy(scene)
    scene.machine("lufta").disconnect()
    deploy(scene, B)
    waits = mark(scene)
    scene.clock.advance(3000)
    scene.restart()
    scene.look()
    arrive(scene)
    scene.run("keanu")
    scene.run("lufta")
    assert (
        waits
        == mark(scene)
        == (
            MarkState.PENDING,
            "on its way to 2 hosts; lufta is unreachable",
        )
    )

    scene.clock.advance(700)
    scene.run("lufta")

    late = (MarkState.ERROR, "lufta cannot be reached; on 1 of 2 hosts")
    assert mark(scene) == late
    scene.restart()
    scene.look()
    arrive(scene)
    scene.run("lufta")
    assert mark(scene) == late
    scene.machine("lufta").failure = None
    scene.run("lufta")
    assert mark(scene) == (MarkState.SUCCESS, "on 2 hosts")


def test_a_repository_that_cannot_be_read(scene: Scene) -> None:
    deploy(scene)
    scene.mirror.away = "could not resolve host"
    for _ in range(3):
        with pytest.raises(Exception, match="could not resolve host"):
            scene.look()
        scene.clock.advance(40.0)
    scene.mirror.away = ""

    scene.look()

    assert letters(scene)[2:] == ["repository-unreadable", "recovered"]


def test_a_repository_that_is_away_for_a_moment_is_no_news(scene: Scene) -> None:
    deploy(scene)
    for _ in range(2):
        scene.mirror.away = "502"
        with pytest.raises(SourceError):
            scene.look()
        scene.mirror.away = ""
        scene.look()
        scene.clock.advance(60.0)

    assert letters(scene)[2:] == []


FLEET = {name: {BOT: "1"} for name in ("azure", "keanu", "logos", "lufta")}
REST = {"lufta": {BOT: "1"}}


def withhold(scene: Scene, content: dict[str, dict[str, str]] = REST) -> Commit:
    commit = scene.push(content, "Lose an import")
    for _ in range(3):
        with pytest.raises(WithheldError):
            scene.look()
    return commit


def test_a_commit_that_waits_to_be_approved_is_told_as_that(scene: Scene) -> None:
    deploy(scene, FLEET)
    before = len(letters(scene))
    bad = withhold(scene)

    assert letters(scene)[before:] == ["commit-withheld"]
    said = [one.message for one in scene.history.outbox.waiting("phone")][-1:]
    fields = fields_of(said)
    assert fields["summary"] == f"{bad.short} waits to be approved"
    assert fields["details"] == (
        "repository: it has 3 of the 4 hosts no more (azure, keanu, logos);"
        f" if that is right, run: reconciler approve {bad.short}\n"
        f"commit {bad.short} Lose an import"
    )
    waits = f"waits for: reconciler approve {bad.short}; it has 3 of the 4 hosts"
    assert mark(scene)[0] is MarkState.PENDING
    assert mark(scene)[1].startswith(waits)

    orders = Orders(history=scene.history, now=scene.clock(), actor="cadey")
    orders.approve_commit(bad.id)
    scene.look()
    arrive(scene)
    assert letters(scene)[before:] == ["commit-withheld", "recovered"]
    assert mark(scene) == (MarkState.PENDING, "on its way to 1 host")
    scene.run("lufta")
    assert mark(scene) == (MarkState.SUCCESS, "on 1 host")


def test_a_better_commit_ends_what_was_told_of_one_that_waits(scene: Scene) -> None:
    deploy(scene, FLEET)
    before = len(letters(scene))
    first = withhold(scene)
    withhold(scene, {"azure": {BOT: "1"}})
    deploy(scene, FLEET)

    said = letters(scene)[before:]
    assert said == ["commit-withheld", "commit-withheld", "recovered"]
    (superseded,) = (one for one in marks(scene) if one.commit == first.id)
    assert superseded.state is MarkState.SUPERSEDED
    assert mark(scene) == (MarkState.SUCCESS, "on 4 hosts")


def test_a_commit_that_is_not_trusted_is_told_as_that(scene: Scene) -> None:
    verify = VerifySettings(allowed_signers=Path("/etc/allowed"))
    repository = scene.settings.repository.model_copy(update={"verify": verify})
    scene.settings = scene.settings.model_copy(update={"repository": repository})
    scene.restart()
    deploy(scene, FLEET)
    before = len(letters(scene))
    bad = scene.push(FLEET, "By a stranger")
    scene.mirror.flaws[bad.id] = "No principal matched."
    for _ in range(2):
        with pytest.raises(UntrustedError):
            scene.look()

    assert letters(scene)[before:] == ["commit-untrusted"]
    said = [one.message for one in scene.history.outbox.waiting("phone")][-1:]
    assert fields_of(said)["summary"] == f"{bad.short} is not trusted"
    assert mark(scene)[0] is MarkState.FAILURE
    assert "No principal matched" in mark(scene)[1]

    scene.mirror.flaws.clear()
    scene.look()
    assert letters(scene)[before:] == ["commit-untrusted", "recovered"]


def test_a_repository_that_goes_away_while_a_commit_waits(scene: Scene) -> None:
    """One state says nothing of the other, neither before nor after a restart."""
    deploy(scene, FLEET)
    before = len(letters(scene))
    bad = withhold(scene)
    scene.mirror.away = "could not resolve host"
    with pytest.raises(SourceError):
        scene.look()
    scene.restart()
    for _ in range(2):
        with pytest.raises((WithheldError, SourceError)):
            scene.look()
        scene.clock.advance(60.0)
    arrive(scene)

    assert letters(scene)[before:] == ["commit-withheld", "repository-unreadable"]
    state, text = mark(scene)
    assert state is MarkState.PENDING
    assert f"reconciler approve {bad.short}" in text, "not: superseded by an older one"

    scene.mirror.away = ""
    with pytest.raises(WithheldError):
        scene.look()
    assert letters(scene)[before + 2 :] == ["recovered"]


def test_a_host_that_waits_to_be_approved_is_told_with_what_would_go(
    scene: Scene,
) -> None:
    deploy(scene, {"lufta": {f"{name}.service": "1" for name in "abcde"}})
    scene.run("lufta")
    before = len(letters(scene))
    deploy(scene, {"lufta": {"a.service": "1"}})

    assert letters(scene)[before:] == ["blocked lufta"]
    (said,) = [one.message for one in scene.history.outbox.waiting("phone")][before:]
    assert "4 of the 5 services" in said.text
    assert "run: reconciler approve lufta" in said.text


def test_a_commit_whose_hosts_cannot_be_told_fails_at_the_forge(scene: Scene) -> None:
    deploy(scene)
    scene.push(EvaluationError("undefined variable 'hosts'"))
    with pytest.raises(EvaluationError):
        scene.look()

    assert letters(scene)[2:] == ["repository-unreadable"]
    state, text = mark(scene)
    assert state is MarkState.FAILURE
    assert "undefined variable 'hosts'" in text


def test_a_crash_between_the_attempt_and_its_telling_loses_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.commit(A)
    arrive(scene)
    with monkeypatch.context() as patch:
        # The program dies just before it tells.
        patch.setattr(type(scene.notify), "host", _die)
        with pytest.raises(KeyboardInterrupt):
            scene.run("lufta")
    scene.restart()
    scene.look()
    arrive(scene)

    scene.run("lufta")

    assert letters(scene) == ["deployed lufta"]


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_the_daemon_tells_forges_when_a_commit_comes_and_who_left(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path / "quick", interval=0.02)
    told_to(scene).push(A)
    scene.machine("keanu").disconnect()
    done = [(MarkState.SUPERSEDED, "superseded by"), (MarkState.SUCCESS, "on 1 host")]

    def beginnings() -> list[tuple[MarkState, str]]:
        return [(one.state, one.text[: len("superseded by")]) for one in marks(scene)]

    daemon = Daemon(scene.world)
    daemon.start()
    try:
        wait_until(lambda: "unreachable keanu" in letters(scene), SOON, "the message")
        scene.push({"lufta": A["lufta"]})
        wait_until(lambda: "recovered keanu" in letters(scene), SOON, "the end")
        wait_until(lambda: beginnings() == done, SOON, "both commits to be marked")
    finally:
        daemon.shut()
        assert daemon.join(SOON)
        scene.close()
