"""The subcommands that give orders: hold, release, retry, rollback."""

import getpass
from itertools import product

import pytest

from reconciler.cli import common
from reconciler.errors import ConnectError
from reconciler.loop import Done
from reconciler.model import HostName, Outcome, Quarantine, StorePath, Verdict
from tests.support.scene import Scene
from tests.support.world import toplevel_of
from tests.unit.cli.conftest import Cli

KEANU, LUFTA = HostName("keanu"), HostName("lufta")
BOT, FACTS = "withinbot.service", "printerfacts.service"
A = {"keanu": {FACTS: "1"}, "lufta": {BOT: "1"}}
B = {"keanu": {FACTS: "1"}, "lufta": {BOT: "2"}}
OLD, NEW = (toplevel_of("lufta", commit["lufta"]) for commit in (A, B))


@pytest.fixture(autouse=True)
def _one_clock(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (common, "reconciler.cli.orders"):
        where = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{where}.now", scene.clock)
    monkeypatch.delenv("SUDO_USER", raising=False)


@pytest.fixture
def seen(scene: Scene) -> Scene:
    """Return a scene in which both hosts were brought to A, then to B."""
    for content in (A, B):
        scene.commit(content)
        for host in content:
            assert scene.run(host) == Done()
    return scene


def fail(scene: Scene, host: HostName, toplevel: StorePath) -> None:
    scene.history.quarantine(
        Quarantine(
            host=host, toplevel=toplevel, reason="no", since=scene.clock(), attempt="a"
        )
    )


# --- hold ------------------------------------------------------------------------


def test_hold_by_name_with_a_reason(cli: Cli, seen: Scene) -> None:
    said = cli("hold", "lufta", "--reason", "the disk [sda] is changed")

    assert (said.status, said.err) == (0, "")
    assert said.lines[1].split() == [
        *("lufta", getpass.getuser(), "0s", "ago", "released"),
        *("the", "disk", "[sda]", "is", "changed"),
    ]
    (hold,) = seen.history.holds(seen.clock())
    assert (hold.host, hold.actor) == (LUFTA, getpass.getuser())
    assert hold.reason == "the disk [sda] is changed"
    seen.run("lufta")
    assert seen.status("lufta").hold == hold


def test_hold_by_tag_for_some_time(cli: Cli, seen: Scene) -> None:
    said = cli("hold", "@home", "--reason", "holidays", "--for", "1h30m", "--json")

    assert [one["host"] for one in said.json] == ["keanu", "lufta"]
    assert {one["until"] for one in said.json} == {seen.clock() + 5400}
    assert cli("hold", "--json").json == said.json
    seen.clock.advance(5400)
    assert cli("hold").out == "No host is held.\n"


def test_hold_all_and_release_all(cli: Cli, seen: Scene) -> None:
    assert cli("hold", "--all", "--reason", "wait").status == 0
    assert len(seen.history.holds(seen.clock())) == 2

    said = cli("release", "--all")

    assert said.lines == ["keanu  released", "lufta  released"]
    assert seen.history.holds(seen.clock()) == []
    assert cli("release", "lufta", "--json").json == [{"host": "lufta", "held": False}]


MISUSES = (
    (("hold", "lufta"), "say why"),
    (("hold", "lufta", "--reason", "  "), "say why"),
    (("hold", "lufta", "--reason", "x", "--for", "soon"), "is no duration"),
    (("hold", "lufta", "--reason", "x", "--for", "0"), "must be more than 0"),
    (("hold", "lufta", "--all", "--reason", "x"), "say --all"),
    (("release",), "say --all"),
    (("retry",), "say --all"),
    (("rollback",), "Missing argument"),
    (("rollback", "lufta", "--to", "0"), "--to"),
)


def test_a_misuse_is_told_and_changes_nothing(
    cli: Cli, seen: Scene, subtests: pytest.Subtests
) -> None:
    before = seen.records()
    for words, told in MISUSES:
        with subtests.test(" ".join(words)):
            said = cli(*words)

            assert said.status == 2
            assert told in " ".join(said.err.split())
            assert seen.records() == before


@pytest.mark.usefixtures("seen")
def test_a_name_that_nobody_has_is_an_error_with_a_guess(
    cli: Cli, subtests: pytest.Subtests
) -> None:
    verbs = (("hold", "--reason", "x"), ("release",), ("retry",))
    names = (("lufte", "lufta"), ("@hom", "@home"), ("web", ""))
    for verb, (name, guess) in product(verbs, names):
        with subtests.test(f"{verb[0]} {name}"):
            said = cli(*verb, name)

            assert said.status == 1
            assert repr(name.removeprefix("@")) in said.err
            assert (f"did you mean {guess}?" in said.err) == bool(guess)


def test_a_host_that_nobody_has_looked_at_can_be_held(cli: Cli, scene: Scene) -> None:
    scene.push(A)

    assert cli("hold", "lufta", "--reason", "not yet").status == 0

    assert [one.host for one in scene.history.holds(scene.clock())] == [LUFTA]


def test_a_mistyped_name_is_told_also_while_the_repository_is_away(
    cli: Cli, seen: Scene
) -> None:
    seen.mirror.away = "no route to host"

    said = cli("hold", "lufte", "--reason", "x")

    assert said.status == 1
    assert "did you mean lufta?" in said.err


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("verb", [("hold", "--reason", "x"), ("release",), ("retry",)])
def test_a_dry_run_of_an_order_gives_none(
    cli: Cli, seen: Scene, verb: tuple[str, ...]
) -> None:
    fail(seen, LUFTA, NEW)
    before = seen.records()

    assert cli(*verb, "lufta", "--dry-run").status == 0

    assert seen.records() == before


def test_who_gave_the_order_through_sudo_is_told(
    cli: Cli, seen: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "cadey")

    cli("hold", "lufta", "--reason", "x")

    assert seen.history.holds(seen.clock())[0].actor == "cadey"


# --- retry -----------------------------------------------------------------------


def test_retry_lifts_a_quarantine(cli: Cli, seen: Scene) -> None:
    fail(seen, LUFTA, NEW)

    said = cli("retry", "lufta", "keanu")

    assert said.lines == ["keanu  tried again", "lufta  quarantine lifted; tried again"]
    assert seen.history.quarantines() == []
    (order, _) = seen.history.orders_since(0)
    assert (order.kind, order.host) == ("retry", KEANU)


def test_apply_neither_touches_a_held_host_nor_tries_what_failed(
    cli: Cli, seen: Scene
) -> None:
    fail(seen, LUFTA, OLD)
    cli("hold", "keanu", "--reason", "wait")
    seen.push({"lufta": A["lufta"], "keanu": {FACTS: "2"}})
    attempts = len(seen.history.attempts(limit=100))

    said = cli("apply")

    assert said.status == 1
    assert "reconciler retry lufta" in said.out
    assert "held by" in said.out
    assert len(seen.history.attempts(limit=100)) == attempts


# --- approve ---------------------------------------------------------------------


@pytest.fixture
def blocked(cli: Cli, seen: Scene) -> Scene:
    """Return a scene in which a commit takes most services away from lufta."""
    many = {f"{name}.service": "1" for name in "abcde"}
    for content in ({"keanu": A["keanu"], "lufta": many}, A):
        seen.push(content)
        cli("apply", "lufta")
    assert seen.status("lufta").verdict is Verdict.BLOCKED
    return seen


def test_approve_lets_a_system_come(cli: Cli, blocked: Scene) -> None:
    assert "reconciler approve lufta" in cli("status").out

    said = cli("approve", "lufta")

    assert said.lines == [f"lufta  {OLD[11:18]}…nixos-system-lufta may come"]
    assert cli("apply", "lufta").status == 0
    assert blocked.machine("lufta").running == OLD
    applied, event = blocked.history.events(host=LUFTA)[:2]
    assert (event.kind, event.actor) == ("approve", getpass.getuser())
    assert (applied.kind, applied.actor) == ("apply", getpass.getuser())


@pytest.mark.usefixtures("blocked")
def test_approve_as_json_and_as_a_dry_run(cli: Cli, blocked: Scene) -> None:
    before = blocked.records()

    said = cli("approve", "lufta", "--dry-run", "--json")

    assert said.json == [{"host": "lufta", "toplevel": OLD, "commit": None}]
    assert blocked.records() == before


def test_approve_lets_a_commit_count(cli: Cli, seen: Scene) -> None:
    more = {name: {BOT: "1"} for name in ("azure", "logos")}
    seen.push({**B, **more})
    assert cli("apply").status == 0
    bad = seen.push({"azure": more["azure"]})
    refused = cli("plan")
    assert refused.status == 1
    assert f"reconciler approve {bad.short}" in refused.err

    said = cli("approve", bad.short, "--reason", "they are sold", "--json")

    assert said.json == [{"host": None, "toplevel": None, "commit": bad.id}]
    assert seen.history.events()[0].text == f"commit {bad.id}: they are sold"
    assert cli("plan").status == 0


def test_what_is_neither_a_host_nor_a_commit_is_not_approved(
    cli: Cli, seen: Scene
) -> None:
    assert "did you mean lufta?" in cli("approve", "lufte").err
    unknown = cli("approve", "lufta", "deadbeef")
    assert (unknown.status, unknown.out) == (1, "")
    assert "deadbeef" in unknown.err
    assert cli("approve").status == 2
    assert seen.history.events() == []


# --- generations and rollback ----------------------------------------------------


def test_generations_tell_commit_and_state(cli: Cli, seen: Scene) -> None:
    first, second, third = cli("rollback", "lufta", "--list", "--json").json

    assert (first["number"], first["commit"]) == (1, None)
    assert second == {
        "number": 2,
        "made_at": seen.machine("lufta").clock,
        "toplevel": OLD,
        "label": "24.05.2",
        "running": False,
        "booted": False,
        "default": False,
        "commit": seen.mirror.commits[0].id,
    }
    assert (third["running"], third["default"]) == (True, True)
    said = cli("rollback", "lufta", "--list")
    assert "running, default" in said.lines[3]
    assert said.lines[0].split()[:4] == ["NUMBER", "MADE", "IS", "COMMIT"]


def test_rollback_takes_a_host_back_and_holds_it(cli: Cli, seen: Scene) -> None:
    said = cli("rollback", "lufta", "--reason", "the bot is rude", "--for", "2h")

    assert said.status == 0, said.err
    assert "reconciler release lufta" in said.out
    machine = seen.machine("lufta")
    assert (machine.running, machine.profile) == (OLD, OLD)
    (hold,) = seen.history.holds(seen.clock())
    assert (hold.host, hold.reason) == (LUFTA, "the bot is rude")
    attempt = seen.attempts("lufta")[-1]
    assert (attempt.source, attempt.target) == (NEW, OLD)
    assert attempt.commit == seen.mirror.commits[0].id
    assert attempt.outcome is Outcome.SUCCEEDED
    assert attempt.message.startswith("taken back to generation 2 by ")
    steps = [step.name for step in attempt.steps]
    assert steps == ["activate", "verify", "confirm", "verify"]

    assert seen.run("lufta") == Done(), "the loop does not undo it"
    assert seen.status("lufta").verdict is Verdict.HELD
    cli("release", "lufta")
    assert seen.run("lufta") == Done()
    assert seen.machine("lufta").running == NEW


def test_rollback_needs_no_repository(cli: Cli, seen: Scene) -> None:
    seen.mirror.away = "no route to host"

    assert cli("rollback", "lufta", "--to", "2", "--json").json["to"] == OLD

    (hold,) = seen.history.holds(seen.clock())
    assert hold.reason == "taken back to generation 2"


def test_a_dry_run_of_a_rollback_says_where_to(cli: Cli, seen: Scene) -> None:
    before = seen.records()

    assert cli("rollback", "lufta", "--dry-run", "--json").json["to"]["number"] == 2
    assert "24.05.2" in cli("rollback", "lufta", "--dry-run").out

    assert seen.records() == before
    assert seen.machine("lufta").running == NEW


def test_there_must_be_a_generation_to_go_back_to(cli: Cli, seen: Scene) -> None:
    said = cli("rollback", "lufta", "--to", "17")

    assert said.status == 1
    assert "lufta has no generation 17; it has: 1, 2, 3" in said.err
    assert seen.history.holds(seen.clock()) == []


def test_a_rollback_that_fails_leaves_the_host_as_it_was(cli: Cli, seen: Scene) -> None:
    cli("hold", "lufta", "--reason", "before")
    machine = seen.machine("lufta")
    machine.switch_status, machine.switch_output = 1, "no space left"

    said = cli("rollback", "lufta")

    assert said.status == 1
    assert "no space left" in said.out
    assert (machine.running, machine.profile) == (NEW, NEW)
    assert seen.attempts("lufta")[-1].outcome is Outcome.ROLLED_BACK
    assert [hold.reason for hold in seen.history.holds(seen.clock())] == ["before"]
    cli("release", "lufta")
    cli("rollback", "lufta")
    assert seen.history.holds(seen.clock()) == []


def test_a_system_that_cannot_be_reached_is_not_kept(cli: Cli, seen: Scene) -> None:
    machine = seen.machine("lufta")

    def stay_away() -> None:
        if machine.running == OLD:
            message = "lufta: no route to host"
            raise ConnectError(message, host="lufta")

    machine.before_read = stay_away

    said = cli("rollback", "lufta")

    assert said.status == 1
    assert (machine.running, machine.profile) == (NEW, NEW)
    assert seen.attempts("lufta")[-1].outcome is Outcome.ROLLED_BACK
    assert seen.history.holds(seen.clock()) == []


def test_another_machine_is_not_taken_back(cli: Cli, seen: Scene) -> None:
    seen.machine("lufta").machine_id = "f" * 32

    said = cli("rollback", "lufta")

    assert said.status == 1
    assert "another machine answers as lufta" in said.err
    assert seen.machine("lufta").running == NEW


def test_a_host_that_is_being_changed_is_not_taken_back(cli: Cli, seen: Scene) -> None:
    with seen.history.lock(LUFTA):
        said = cli("rollback", "lufta")

    assert said.status == 1
    assert "is being changed by" in said.err
    assert seen.history.holds(seen.clock()) == []


# --- the audit log ---------------------------------------------------------------


def test_who_did_what_when_and_why(cli: Cli, seen: Scene) -> None:
    me = getpass.getuser()
    cli("hold", "lufta", "--reason", "the disk [sda] is changed")
    cli("release", "lufta", "--reason", "it is changed")
    cli("retry", "keanu", "--reason", "try it")

    told = cli("events", "--json").json
    last = [(one["kind"], one["host"], one["actor"], one["text"]) for one in told[:3]]
    assert last == [
        ("retry", "keanu", me, "try it"),
        ("release", "lufta", me, "it is changed"),
        ("hold", "lufta", me, "the disk [sda] is changed"),
    ]
    assert {one["at"] for one in told[:3]} == {seen.clock()}
    of_lufta = cli("events", "lufta", "-n", "1")
    assert (of_lufta.status, of_lufta.err) == (0, "")
    assert of_lufta.lines[1].split()[2:] == [
        *("release", "lufta", me, "it", "is", "changed")
    ]


def test_before_anything_is_recorded_there_is_no_event(cli: Cli) -> None:
    assert cli("events").out == "Nothing is recorded yet.\n"
