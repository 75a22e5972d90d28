"""The first deployment of a host: what `adopt` shows, asks and records."""

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import ConnectError, EvaluationError
from reconciler.model import Adopt, HostName, Verdict
from tests.support.scene import Scene, write_copy
from tests.unit.cli.conftest import Cli

BOT = "withinbot.service"
A = {"keanu": {BOT: "1"}, "lufta": {BOT: "1"}}
KEANU, LUFTA = HostName("keanu"), HostName("lufta")


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    write_copy(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    scene = Scene(tmp_path, adopt=Adopt.ASK)
    scene.push(A, "Two hosts")
    yield scene
    scene.close()


def test_adopt_shows_what_it_changes_and_then_lets_it(cli: Cli, scene: Scene) -> None:
    waiting = cli("plan")
    assert waiting.lines[-1] == "2 hosts: 2 waits for adoption"

    said = cli("adopt", "lufta", "--yes", "--reason", "it is ours")

    assert said.status == 0
    assert any(BOT in line and "would start" in line for line in said.lines)
    assert said.lines[-1] == "lufta  adopted"
    (event,) = scene.history.events(host=LUFTA)
    assert (event.kind, event.actor) == ("adopt", getpass.getuser())
    assert event.text == "it is ours"
    assert scene.attempts("lufta") == [], "what brings it is the daemon, or `apply`"
    assert cli("plan").lines[-1] == "2 hosts: 1 to deploy, 1 waits for adoption"
    assert cli("adopt", "lufta", "--yes").out == "lufta  was adopted before\n"


def test_a_dry_run_of_adopt_records_nothing(cli: Cli, scene: Scene) -> None:
    before = scene.records()

    said = cli("adopt", "--dry-run", "--json")

    assert [(one["host"], one["adopted"], one["new"]) for one in said.json] == [
        ("keanu", False, True),
        ("lufta", False, True),
    ]
    assert [one["plan"]["verdict"] for one in said.json] == ["unadopted", "unadopted"]
    assert scene.records()["approvals"] == before["approvals"]
    assert scene.history.events() == []


def test_a_script_must_say_yes(cli: Cli, scene: Scene) -> None:
    said = cli("adopt", "lufta")

    assert said.status == 2
    assert "--yes" in said.err
    assert not scene.history.is_adopted(LUFTA)


def test_nobody_is_asked_about_what_is_not_shown(
    cli: Cli, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person at a terminal, whose answer would be to JSON that comes after it."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda *_args, **_options: True)

    said = cli("adopt", "lufta", "--json")

    assert said.status == 2
    assert "--dry-run" in said.err
    assert not scene.history.is_adopted(LUFTA)
    assert cli("adopt", "lufta").status == 0


def test_what_cannot_be_compared_is_not_adopted(cli: Cli, scene: Scene) -> None:
    broken = EvaluationError("network.nix:3:1: undefined variable", host="keanu")
    scene.push({**A, "keanu": broken})

    said = cli("adopt", "--yes")

    assert said.status == 1
    assert scene.history.is_adopted(LUFTA)
    assert not scene.history.is_adopted(KEANU)


def test_to_apply_a_host_by_its_name_is_consent(cli: Cli, scene: Scene) -> None:
    assert cli("apply").status == 1
    assert scene.status("lufta").verdict is Verdict.UNADOPTED
    assert scene.attempts("lufta") == []

    assert cli("apply", "lufta", "--reason", "I looked").status == 0

    assert scene.status("lufta").in_sync
    assert {event.kind for event in scene.history.events(host=LUFTA)} >= {"adopt"}
    assert scene.status("keanu").verdict is Verdict.UNADOPTED


def test_what_does_not_answer_is_not_adopted_by_apply(cli: Cli, scene: Scene) -> None:
    scene.machine("lufta").failure = ConnectError("no answer", host="lufta")

    said = cli("apply", "lufta")

    assert said.status == 1
    assert "lufta: is not adopted by this: no answer" in said.err
    assert not scene.history.is_adopted(LUFTA)


@pytest.mark.parametrize("words", [("apply",), ("adopt", "--yes")])
def test_another_machine_is_not_adopted(
    cli: Cli, scene: Scene, words: tuple[str, ...]
) -> None:
    cli("apply")  # which meets the machine
    scene.machine("lufta").machine_id = "f" * 32

    said = cli(words[0], "lufta", *words[1:])

    assert said.status == 1
    assert "another machine answers as lufta" in said.out + said.err
    assert not scene.history.is_adopted(LUFTA)
    assert scene.attempts("lufta") == []
