"""The subcommands that read what was recorded: status, history."""

import json
import time

import pytest

from reconciler import local_socket
from reconciler.errors import EvaluationError, SourceError
from reconciler.history import LEFT
from reconciler.model import Hold, HostName, Quarantine, SystemParts
from tests.support.scene import Scene
from tests.support.world import toplevel_of
from tests.unit.cli.conftest import Cli

KEANU, LUFTA = HostName("keanu"), HostName("lufta")
BOT, FACTS = "withinbot.service", "printerfacts.service"
A = {"keanu": {FACTS: "1"}, "lufta": {BOT: "1"}}
LONG = "a-host-with-quite-a-long-name-for-a-host"


@pytest.fixture
def seen(scene: Scene) -> Scene:
    """Return a scene with one host in sync and one that does not answer."""
    scene.commit(A)
    scene.run("lufta")
    scene.machine("keanu").disconnect()
    scene.run("keanu")
    return scene


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("status",), "No host was looked at yet: start `reconciler run`.\n"),
        (("status", "--json"), "[]\n"),
        (("history",), "No attempt was made yet.\n"),
        (("history", "--json"), "[]\n"),
        (("history", "lufta"), "No attempt was made yet.\n"),
    ],
)
def test_before_anything_was_recorded(
    cli: Cli, tmp_path_factory: pytest.TempPathFactory, words: tuple[str], told: str
) -> None:
    """Nothing is an answer, and asking leaves no trace."""
    state = tmp_path_factory.mktemp("nothing") / "state"
    cli.settings.write_text(f"{{repository: {{url: /x}}, state: {state}}}")

    said = cli(*words)

    assert (said.status, said.out, said.err) == (0, told, "")
    assert not state.exists()


def test_a_daemon_that_runs_need_not_be_started(cli: Cli, scene: Scene) -> None:
    with local_socket.bind(scene.settings.state.path / local_socket.NAME):
        told = cli("status").out
        missing = cli("status", "lufta").err

    assert told == "No host was looked at yet; the daemon runs and is about to.\n"
    assert "the daemon is about to" in missing
    assert "start `reconciler run`" in cli("status").out


def test_show_before_anything_was_recorded(cli: Cli) -> None:
    said = cli("status", "lufta")

    assert (said.status, said.out) == (1, "")
    assert "no host was looked at yet" in said.err
    assert "reconciler plan lufta" in said.err


def test_status_is_a_line_for_each_host_and_a_sum(cli: Cli, seen: Scene) -> None:
    said = cli("status")

    assert said.status == 0
    assert said.lines[0].split()[0] == "HOST"
    keanu, problem, lufta, total = said.lines[1:]
    assert keanu.split()[:3] == ["keanu", "unreachable", "0/0"]
    assert problem == "    keanu: cannot connect: Connection refused"
    assert lufta.split()[:4] == ["lufta", "in", "sync", "1/1"]
    assert seen.status("lufta").commit[:8] in lufta
    assert total == "2 hosts: 1 in sync, 1 unreachable"


def test_status_as_json_has_every_documented_key(cli: Cli, seen: Scene) -> None:
    keanu, lufta = cli("status", "--json").json

    assert (
        set(keanu)
        == set(lufta)
        >= {
            "host",
            "address",
            "tags",
            "commit",
            "target",
            "running",
            "verdict",
            "in_sync",
            "reachable",
            "updated_at",
            "drift_since",
            "units",
            "drifts",
            "error",
            "hold",
            "quarantine",
        }
    )
    assert (lufta["in_sync"], keanu["in_sync"]) == (True, False)
    assert lufta["updated_at"] == seen.clock()


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("columns", [60, 80, 100])
@pytest.mark.parametrize("words", [("status",), ("history",), ("status", "keanu")])
def test_tables_fit_the_terminal_and_break_no_word(
    cli: Cli, columns: int, words: tuple[str]
) -> None:
    whole = {word for line in cli(*words).lines for word in line.split()}
    cli.narrow(columns)

    said = cli(*words)

    assert max(map(len, said.lines)) <= columns
    long = [word for word in whole if len(word) > 40]  # store paths, on narrow ones
    for word in said.out.split():
        assert word in whole or "…" in word or any(word in one for one in long)


def test_a_long_name_and_a_long_error_do_not_squeeze_the_table(
    cli: Cli, scene: Scene
) -> None:
    error = EvaluationError(" ".join(["something is wrong with this"] * 10))
    scene.commit({LONG: error, "lufta": {BOT: "1"}})
    scene.run(LONG)
    scene.run("lufta")
    cli.narrow(80)

    lines = cli("status").lines

    assert max(map(len, lines)) <= 80
    assert lines[1].split()[:2] == [f"{LONG[:22]}…", "error"]
    assert all(line.startswith("    ") for line in lines[2:6])
    assert " ".join(" ".join(lines[2:-2]).split()) == str(error)


def test_show_tells_all_of_one_host(cli: Cli, seen: Scene) -> None:
    said = cli("status", "lufta")

    assert said.status == 0
    facts = {line[:14].strip(): line[16:] for line in said.lines[:10]}
    assert facts["running system"] == toplevel_of("lufta", A["lufta"])
    assert facts["commit"] == seen.status("lufta").commit
    assert facts["services"] == "1 of 1 active"
    assert "Attempts" in said.lines


def test_show_tells_drift_in_the_words_of_the_plan(cli: Cli, seen: Scene) -> None:
    seen.machine("lufta").switch_status = 2
    seen.commit({**A, "lufta": {BOT: "2"}})
    seen.run("lufta")

    shown, planned = cli("status", "lufta"), cli("plan", "lufta")

    changed = [line for line in planned.lines if line.startswith("  ~")]
    assert len(changed) == 2
    start = shown.lines.index("Drift") + 1
    assert shown.lines[start : start + 2] == changed


def test_show_as_json_is_the_status_with_attempts(cli: Cli, seen: Scene) -> None:
    shown = cli("status", "lufta", "--json").json

    attempts = shown.pop("attempts")
    assert [shown] == [one for one in cli("status", "--json").json if one["in_sync"]]
    assert attempts == cli("history", "lufta", "--json").json
    (attempt,) = attempts
    assert attempt["id"] == seen.attempts("lufta")[0].id
    assert set(attempt) >= {
        "id",
        "host",
        "commit",
        "why",
        "from",
        "to",
        "began_at",
        "ended_at",
        "outcome",
        "message",
        "steps",
    }
    assert set(attempt["steps"][0]) == {"name", "began_at", "seconds", "error"}


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("command", ["status", "history"])
def test_an_unknown_host_is_an_error(cli: Cli, command: str) -> None:
    said = cli(command, "nowhere")

    assert (said.status, said.out) == (1, "")
    assert "no host is named 'nowhere'; the repository has: keanu, lufta" in said.err


def test_history_has_a_line_for_each_attempt(cli: Cli, seen: Scene) -> None:
    seen.machine("lufta").switch_status = 2
    seen.commit({**A, "lufta": {BOT: "2"}})
    seen.run("lufta")
    last, first = reversed(seen.attempts("lufta"))

    lines = cli("history").lines

    assert lines[1].split()[:2] == [last.id, "lufta"]
    assert lines[1].split()[-1] == "rolled_back"
    assert lines[2].strip() == last.message
    assert lines[3].split()[:2] == [first.id, "lufta"]
    assert lines[3].split()[-1] == "succeeded"
    assert len(cli("history", "-n", "1").lines) == 3


def test_history_of_a_host_that_left_is_kept(cli: Cli, seen: Scene) -> None:
    lufta = seen.status("lufta").host
    seen.history.forget_host(lufta)

    assert lufta in cli("history", "lufta").out


def test_a_host_that_left_is_told_from_one_that_never_was(
    cli: Cli, seen: Scene
) -> None:
    text = "commit 1a2b3c4d has it no more: sell lufta"
    now = time.time()  # noqa: TID251 -- the command line asks the same clock
    seen.history.forget_host(LUFTA)
    seen.history.event(now=now - 7200, kind=LEFT, host=LUFTA, text=text)
    seen.history.event(now=now, kind="release", host=LUFTA, text="-")

    said = cli("why-evaluated", "lufta")
    assert (said.status, said.out) == (1, "")
    assert said.err == f"error: lufta left the repository 2h ago: {text}\n"
    told = cli("why-evaluated", "lufta", "--json")
    assert (told.status, told.err) == (1, said.err)
    assert (told.json["result"], told.json["reasons"]) == ("gone", [text])
    assert "no host is named 'lufte'" in cli("why-evaluated", "lufte").err


def test_a_host_that_came_back_is_told_of_as_any(cli: Cli, seen: Scene) -> None:
    seen.history.event(now=0, kind=LEFT, host=LUFTA, text="commit 1a2b3c4d")

    assert cli("why-evaluated", "lufta").out.startswith("lufta: evaluated for commit")


def test_the_log_of_an_attempt(cli: Cli, seen: Scene) -> None:
    (attempt,) = seen.attempts("lufta")

    assert "activating" in cli("history", "--log", attempt.id).lines


@pytest.mark.usefixtures("seen")
def test_the_log_of_an_unknown_attempt(cli: Cli) -> None:
    said = cli("history", "--log", "nope")

    assert (said.status, said.out) == (1, "")
    assert said.err == "error: history has no attempt 'nope'\n"


def test_what_ails_the_repository_is_told_on_standard_error(
    cli: Cli, seen: Scene
) -> None:
    seen.mirror.away = "git.example: Connection refused"
    with pytest.raises(SourceError):
        seen.look()  # as the daemon does

    said = cli("status", "--json")

    assert "git.example: Connection refused" in said.err
    assert len(said.json) == 2


def test_who_holds_a_host_and_why_is_told(cli: Cli, seen: Scene) -> None:
    reason = "the disk [sda] is being changed"
    now = time.time()  # noqa: TID251 -- the command line asks the same clock
    held = Hold(host=LUFTA, reason=reason, actor="cadey", since=now - 7200)
    seen.history.hold(held)
    over = Hold(host=KEANU, reason="-", actor="", since=now - 2, until=now - 1)
    seen.history.hold(over)

    told = cli("status").out
    assert f"    held by cadey for 2h: {reason}\n" in told
    assert told.count("held") == 1
    assert f"held by cadey for 2h: {reason}\n" in cli("status", "lufta").out
    keanu, lufta = cli("status", "--json").json
    assert (keanu["hold"], lufta["hold"]["reason"]) == (None, reason)


def test_which_system_failed_and_how_is_told(cli: Cli, seen: Scene) -> None:
    target = seen.status("lufta").target
    assert target is not None
    failed = Quarantine(
        host=LUFTA,
        toplevel=target,
        reason="it died",
        since=0,
        attempt="a-1",
        failures=2,
    )
    seen.history.quarantine(failed)

    told = cli("status", "lufta").out
    assert "failed 2 times since" in told
    assert "last in attempt a-1: it died" in told
    assert cli("status", "lufta", "--json").json["quarantine"]["failures"] == 2


def test_what_takes_nothing_from_being_in_sync_is_no_drift(
    cli: Cli, seen: Scene
) -> None:
    machine = seen.machine("lufta")
    machine.booted = machine.running
    machine.parts = SystemParts(kernel="/nix/store/a-newer-kernel")
    machine.booted_parts = SystemParts(kernel="/nix/store/an-older-kernel")
    seen.run("lufta")

    (lufta,) = (one for one in cli("status", "--json").json if one["in_sync"])
    assert [one["kind"] for one in lufta["drifts"]] == ["reboot-needed"]
    lines = cli("status").lines
    row = next(at for at, line in enumerate(lines) if line.startswith("lufta"))
    assert lines[row].split()[:5] == ["lufta", "in", "sync", "1/1", "-"]
    assert lines[row + 1] == "    no drift, but to be known: reboot-needed"


@pytest.mark.usefixtures("seen")
def test_status_and_history_take_what_every_command_takes(cli: Cli) -> None:
    assert [one["host"] for one in cli("status", "@home", "!keanu", "--json").json] == [
        "lufta"
    ]
    assert {one["host"] for one in cli("history", "l*", "--json").json} == {"lufta"}
    assert cli("history", "!lufta", "--json").json == []
    assert cli("events", "nowhere").status == 1


# --- what a terminal must not be told --------------------------------------------

EVIL = "\x1b]52;c;cm0gLXJm\x07\x1b[2Ja\x9b1mb\u202ec\x07[/x]\\[/x] :boom:"
HARMLESS = "ab\\u202ec\\x07[/x]\\[/x] :boom:"


def test_no_host_commit_or_build_has_a_word_with_the_terminal(
    cli: Cli, scene: Scene
) -> None:
    scene.mirror.push(A, EVIL)
    scene.look()
    scene.machine("lufta").switch_status = 1
    scene.machine("lufta").switch_output = EVIL
    scene.run("lufta")
    broken = EvaluationError(f"network.nix:3:1: {EVIL}")
    scene.machine("keanu").disconnect()
    reason = f"because {EVIL}"
    (attempt,) = scene.attempts("lufta")

    said = [
        cli("hold", "lufta", "--reason", reason),
        *(cli(*words) for words in (("status",), ("status", "lufta"), ("plan",))),
        *(cli(*words) for words in (("history",), ("events",), ("events", "--json"))),
        *(cli(*words) for words in (("status", "--json"), ("plan", "--json"))),
        cli("history", "--log", attempt.id),
    ]
    scene.push({**A, "keanu": broken})
    said.append(cli("plan"))

    for one in said:
        for odd in "\x1b\x07\x9b\u202e":
            assert odd not in one.out + one.err
    assert HARMLESS in said[-2].out
    assert HARMLESS in said[-1].out


@pytest.mark.parametrize("words", [("status",), ("status", "lufta"), ("history",)])
def test_a_pipe_is_given_whole_words_and_json_without_colours(
    cli: Cli, seen: Scene, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    reason = " ".join(["the disk is being changed"] * 20)
    cli("hold", "lufta", "--reason", reason)

    assert reason in cli("hold").out
    assert "\x1b" not in cli(*words, "--json").out
    json.loads(cli(*words, "--json").out)
    assert seen.history.holds(seen.clock())
