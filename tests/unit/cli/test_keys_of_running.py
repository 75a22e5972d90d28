"""Keys for what a host runs, which need not be what the newest commit says."""

import dataclasses
import getpass

import pytest

from reconciler.history import approval_of_adoption
from reconciler.loop import Done
from reconciler.model import Hold, HostName, Policy, StorePath
from tests.support.scene import Scene
from tests.support.world import FIRST, toplevel_of
from tests.unit.cli.conftest import Cli

LUFTA = HostName("lufta")
BOT = "withinbot.service"
A, B = "/run/keys/a", "/run/keys/b"
OLD = {"lufta": {BOT: "1", A: "of a"}}
NEW = {"lufta": {BOT: "2", B: "of b"}}


@pytest.fixture
def held(scene: Scene) -> Scene:
    """Return a scene whose host runs the old commit, held, while a newer one waits."""
    scene.commit(OLD)
    scene.run(LUFTA)
    assert scene.run(LUFTA) == Done()
    hold(scene)
    scene.commit(NEW)
    scene.run(LUFTA)
    assert contents(scene) == {A: b"of a"}
    return scene


def hold(scene: Scene) -> None:
    scene.history.hold(
        Hold(host=LUFTA, reason="the disk", actor="ada", since=scene.clock())
    )


def contents(scene: Scene) -> dict[str, bytes]:
    files = scene.machine("lufta").keys.files
    return {path: file.content for path, file in files.items()}


# --- keys send -------------------------------------------------------------------


def test_a_held_host_keeps_and_gets_back_the_keys_of_what_it_runs(
    cli: Cli, held: Scene
) -> None:
    assert cli("keys", "send", "lufta").status == 0
    assert contents(held) == {A: b"of a"}

    held.machine("lufta").keys.files.clear()
    said = cli("keys", "send", "lufta")

    assert (said.status, said.out) == (0, "lufta  keys in place\n")
    assert contents(held) == {A: b"of a"}


def test_what_is_shown_before_is_of_the_running_system(cli: Cli, held: Scene) -> None:
    held.machine("lufta").keys.files.clear()

    said = cli("keys", "send", "--dry-run")

    assert said.status == 0
    assert "/run/keys/a" in said.out
    assert "/run/keys/b" not in said.out
    assert contents(held) == {}


def test_the_commit_of_an_older_system_is_found_in_history(
    cli: Cli, held: Scene
) -> None:
    """It was in sync with the newest since, and somebody took it back."""
    held.history.release(LUFTA, now=held.clock())
    held.run(LUFTA)
    held.run(LUFTA)
    lufta = held.machine("lufta")
    assert lufta.running == toplevel_of("lufta", NEW["lufta"])
    hold(held)
    lufta.running = toplevel_of("lufta", OLD["lufta"])

    assert cli("keys", "send", "lufta").status == 0

    assert contents(held) == {A: b"of a", B: b"of b"}


def test_an_unknown_system_gets_no_key(cli: Cli, held: Scene) -> None:
    held.machine("lufta").running = FIRST
    held.machine("lufta").keys.files.clear()

    said = cli("keys", "send", "lufta")

    assert said.status == 1
    assert f"no commit that we know of declares {FIRST}" in said.out
    assert contents(held) == {}


def test_a_host_that_waits_for_adoption_gets_keys_only_by_its_name(
    cli: Cli, held: Scene
) -> None:
    cli.settings.write_text(
        cli.settings.read_text().replace("adopt: always", "adopt: ask")
    )
    held.history.withdraw(approval_of_adoption(LUFTA))
    held.machine("lufta").keys.files.clear()

    said = cli("keys", "send")

    assert said.status == 1
    assert "lufta waits for adoption" in said.out
    assert contents(held) == {}
    assert cli("keys", "send", "lufta").status == 0
    assert contents(held) != {}
    assert not held.history.is_adopted(LUFTA)


def test_another_machine_gets_no_key(cli: Cli, held: Scene) -> None:
    held.machine("lufta").machine_id = "f" * 32
    held.machine("lufta").keys.files.clear()

    said = cli("keys", "send", "lufta")

    assert said.status == 1
    assert "another machine answers as lufta" in said.out
    assert contents(held) == {}


def test_a_host_on_the_newest_commit_loses_no_key_either(
    cli: Cli, scene: Scene
) -> None:
    scene.commit(OLD)
    scene.run(LUFTA)
    scene.history.note_delivered(LUFTA, ["/run/keys/stray"])
    files = scene.machine("lufta").keys.files
    files["/run/keys/stray"] = dataclasses.replace(files[A], content=b"of old")
    del files[A]

    assert cli("keys", "send", "lufta").status == 0

    assert contents(scene) == {A: b"of a", "/run/keys/stray": b"of old"}


def test_what_became_of_each_host_can_be_read_by_programs(
    cli: Cli, held: Scene
) -> None:
    held.machine("lufta").keys.files.clear()

    (row,) = cli("keys", "send", "--dry-run", "--json").json
    assert (row["path"], row["host"]) == (A, "lufta")
    said = cli("keys", "send", "--json", "--reason", "after the repair")

    assert said.json == [{"host": "lufta", "error": ""}]
    event = held.history.events(host=LUFTA)[0]
    assert (event.kind, event.actor) == ("send-keys", getpass.getuser())
    assert event.text == "after the repair"


# --- reboot ----------------------------------------------------------------------


def test_a_held_host_has_its_keys_after_a_reboot(cli: Cli, held: Scene) -> None:
    began, lufta = held.clock(), held.machine("lufta")

    said = cli("reboot", "lufta")

    assert (said.status, said.out) == (0, "lufta  back and in sync\n")
    assert lufta.log.count("reboot") == 1
    assert contents(held) == {A: b"of a"}
    assert lufta.running == toplevel_of("lufta", OLD["lufta"])
    assert held.clock() - began < 60


def test_what_a_held_host_lacks_is_told_at_last(cli: Cli, held: Scene) -> None:
    held.machine("lufta").keys.full = True

    said = cli("reboot", "lufta", "--deadline", "20")

    assert said.status == 1
    assert "no space is left" in said.out


def test_a_held_host_that_boots_an_unknown_system_is_told_at_once(
    cli: Cli, held: Scene
) -> None:
    began = held.clock()
    held.machine("lufta").profile = StorePath(f"{FIRST}-else")

    said = cli("reboot", "lufta")

    assert said.status == 1
    assert "no commit that we know of declares" in said.out
    assert held.clock() - began < 60


@pytest.mark.usefixtures("held")
def test_a_host_that_nobody_holds_is_brought_to_the_newest(
    cli: Cli, scene: Scene
) -> None:
    scene.history.release(LUFTA, now=scene.clock())
    scene.restart(Policy())

    assert cli("reboot", "lufta").status == 0

    assert scene.machine("lufta").running == toplevel_of("lufta", NEW["lufta"])
    assert contents(scene) == {B: b"of b"}
