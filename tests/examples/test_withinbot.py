"""The chat bot of the example, over its real socket."""

import contextlib
import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples.conftest import DEADLINE, Program

FACTS = {"Printers are shy.", "Toner is <patient>."}

Begin = Callable[..., Program]


class Person:
    """One connection to the bot."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE)
        self._socket.connect(str(path))
        self._answers = self._socket.makefile(encoding="utf-8")
        self.greeting = self.hear()

    def say(self, line: str | bytes) -> None:
        """Send *line*."""
        content = line.encode() if isinstance(line, str) else line
        self._socket.sendall(content + b"\n")

    def hear(self) -> str:
        """Return the next line from the bot; nothing once it has hung up."""
        return self._answers.readline().removesuffix("\n")

    def ask(self, line: str | bytes) -> str:
        """Send *line* and return the answer."""
        self.say(line)
        return self.hear()

    def finish(self, line: str) -> str:
        """Say *line* with no end, and return all that is still to be heard."""
        self._socket.sendall(line.encode())
        self._socket.shutdown(socket.SHUT_WR)
        return self._answers.read()

    def leave(self) -> None:
        """Hang up."""
        self._answers.close()
        self._socket.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.sock"


@pytest.fixture
def begin(start: Begin, facts: Path, path: Path) -> Begin:
    """Return a function that starts the bot; its arguments are settings."""

    def begin_bot(**environment: str) -> Program:
        needed = {"WITHINBOT_FACTS": str(facts), "WITHINBOT_SOCKET": str(path)}
        program = start("withinbot", "serve", environment=needed | environment)
        program.wait_for("listens on")
        return program

    return begin_bot


@pytest.fixture
def meet(path: Path) -> Iterator[Callable[[], Person]]:
    """Return a function that connects one more person."""
    with contextlib.ExitStack() as people:

        def meet_bot() -> Person:
            person = Person(path)
            people.callback(person.leave)
            return person

        yield meet_bot


Meet = Callable[[], Person]


def test_it_greets_and_tells_facts(begin: Begin, meet: Meet) -> None:
    begin()
    person = meet()

    assert person.greeting == "Hello, I am withinbot. Say ~help."
    assert {person.ask("~printerfact") for _ in range(64)} == FACTS


def test_it_is_what_its_environment_says(begin: Begin, meet: Meet) -> None:
    begin(
        WITHINBOT_NAME="luftabot",
        WITHINBOT_GREETING="{name} {here}: {prefix}help",
        WITHINBOT_PREFIX="!!",
    )
    person = meet()

    assert person.greeting == "luftabot {here}: !!help"
    assert person.ask("!!printerfact") in FACTS
    assert person.ask("!!help").startswith("I answer !!auth, !!help, ")


def test_it_keeps_out_of_what_people_say_to_each_other(
    begin: Begin, meet: Meet
) -> None:
    begin()
    person = meet()
    person.say("is this thing on? ~printerfact")
    person.say("")

    assert person.ask("  ~UPTIME ").startswith("I have been up for 0:00:")


def test_each_command_that_help_names_is_answered(begin: Begin, meet: Meet) -> None:
    begin()
    person = meet()
    names = person.ask("~help").removeprefix("I answer ").removesuffix(".").split(", ")

    assert {"~help", "~printerfact", "~uptime"} < set(names)
    for name in names:
        assert "I do not know that one" not in person.ask(name)


def test_an_unknown_command_is_answered(begin: Begin, meet: Meet) -> None:
    begin()

    assert meet().ask("~coffee") == "I do not know that one. Say ~help."


def test_a_last_line_without_an_end_is_answered(begin: Begin, meet: Meet) -> None:
    begin()

    assert meet().finish("~printerfact").strip() in FACTS


def test_many_talk_at_once_and_one_too_many_is_sent_away(
    begin: Begin, meet: Meet
) -> None:
    begin()
    people = [meet() for _ in range(64)]

    assert meet().greeting == "Too many people are talking to me."
    for person in reversed(people):
        assert person.ask("~printerfact") in FACTS


@pytest.mark.parametrize("length", [1025, 1026, 2048, 1_000_000])
def test_an_overlong_line_is_refused_and_the_next_one_answered(
    begin: Begin, meet: Meet, length: int
) -> None:
    begin()
    person = meet()

    assert person.ask(b"~" * length) == "That was too long."
    assert person.ask("~printerfact") in FACTS


def test_garbage_is_survived(begin: Begin, meet: Meet) -> None:
    begin()

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(st.binary(max_size=3000))
    def survives(garbage: bytes) -> None:
        person = meet()
        person.say(garbage)
        heard = person.finish("~uptime").splitlines()
        person.leave()
        assert heard[-1].startswith("I have been up for ")
        assert "".join(heard).isprintable()

    survives()


def test_what_it_logs_is_seen_while_it_runs(begin: Begin, meet: Meet) -> None:
    bot = begin()
    meet().ask("~printerfact")

    assert bot.wait_for("answering ~printerfact\n")


def test_it_stops_when_asked_with_people_connected(
    begin: Begin, meet: Meet, path: Path
) -> None:
    bot = begin()
    person = meet()

    assert bot.stop(signal.SIGTERM) == 0
    assert bot.output.endswith("goodbye\n")
    assert person.hear() == ""
    assert not path.exists()


def test_it_counts_on_after_a_restart(begin: Begin, meet: Meet, tmp_path: Path) -> None:
    bot = begin()
    person = meet()
    for _ in range(3):
        person.ask("~printerfact")
    bot.stop()
    begin()
    meet().ask("~printerfact")

    assert json.loads((tmp_path / "memory.json").read_text()) == {
        "told": 4,
        "learned": [],
    }


def test_a_memory_is_replaced_and_never_written_over(
    begin: Begin, meet: Meet, tmp_path: Path
) -> None:
    begin()
    person = meet()
    person.ask("~printerfact")
    with (tmp_path / "memory.json").open() as before:
        person.ask("~printerfact")

        assert json.load(before)["told"] == 1
    assert json.loads((tmp_path / "memory.json").read_text())["told"] == 2


def test_a_crash_in_the_middle_of_telling_leaves_a_whole_memory(
    begin: Begin, meet: Meet, tmp_path: Path
) -> None:
    bot = begin()
    person = meet()
    person.ask("~printerfact")
    for _ in range(200):
        person.say("~printerfact")
    bot.stop(signal.SIGKILL)

    assert json.loads((tmp_path / "memory.json").read_text())["told"] >= 1
    begin()  # over the socket that was left behind
    assert meet().ask("~printerfact") in FACTS


def test_a_memory_that_is_none_is_kept_aside(
    begin: Begin, meet: Meet, tmp_path: Path
) -> None:
    (tmp_path / "memory.json").write_text('["told"]')
    bot = begin()

    assert "is no memory" in bot.output
    assert (tmp_path / "memory.broken").read_text() == '["told"]'
    assert meet().ask("~printerfact") in FACTS


def test_only_who_knows_the_token_may_teach(begin: Begin, meet: Meet) -> None:
    token = "s3cret-of-the-house"  # noqa: S105 (a test's own)
    bot = begin(WITHINBOT_TOKEN=token)
    person = meet()

    assert person.ask("~learn Paper is alive.") == "Say ~auth TOKEN first."
    assert person.ask("~auth guess") == "That is not the token."
    assert person.ask("~learn Paper is alive.") == "Say ~auth TOKEN first."
    assert person.ask(f"~auth {token}") == "Good to see you."
    assert person.ask("~learn") == "Learn what?"
    assert person.ask("~learn Paper is alive.") == "I will remember that."
    assert meet().ask("~learn Other people too.") == "Say ~auth TOKEN first."
    bot.stop()
    assert token not in bot.output

    begin(WITHINBOT_TOKEN=token)
    person = meet()
    assert person.ask("~stats").startswith("I know 2 facts by heart and learned 1.")
    assert "Paper is alive." in {person.ask("~printerfact") for _ in range(99)}


def test_without_a_token_nobody_may_teach(begin: Begin, meet: Meet) -> None:
    begin()
    person = meet()

    assert person.ask("~auth ") == "I have no token, so I trust nobody."
    assert person.ask("~learn Paper is alive.") == "Say ~auth TOKEN first."


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({}, "WITHINBOT_FACTS is not set"),
        ({"WITHINBOT_FACTS": "/nonexistent"}, "WITHINBOT_FACTS: cannot read"),
        ({"WITHINBOT_FACTS": "/dev/null"}, "WITHINBOT_FACTS: /dev/null holds no facts"),
        ({"WITHINBOT_PREFIX": ""}, "WITHINBOT_PREFIX must be printable"),
        ({"WITHINBOT_PREFIX": "a b"}, "WITHINBOT_PREFIX must be printable"),
    ],
)
def test_wrong_settings_end_it_with_a_reason(
    start: Begin, environment: dict[str, str], complaint: str
) -> None:
    bot = start("withinbot", "serve", environment=environment)

    assert bot.wait() == 1
    assert complaint in bot.output
    assert "Traceback" not in bot.output


def test_a_socket_that_cannot_be_had_ends_it_with_a_reason(
    start: Begin, facts: Path
) -> None:
    environment = {"WITHINBOT_FACTS": str(facts), "WITHINBOT_SOCKET": "/proc/bot.sock"}
    bot = start("withinbot", "serve", environment=environment)

    assert bot.wait() == 1
    assert "withinbot: " in bot.output
    assert "Traceback" not in bot.output


def test_ask_prints_the_answers(begin: Begin, start: Begin, path: Path) -> None:
    begin()
    environment = {"WITHINBOT_SOCKET": str(path)}
    asked = start(
        "withinbot", "ask", "~uptime", "~printerfact", environment=environment
    )

    assert asked.wait() == 0
    uptime, fact = asked.output.splitlines()
    assert uptime.startswith("I have been up for ")
    assert fact in FACTS


def test_ask_says_so_when_nobody_listens(start: Begin, path: Path) -> None:
    asked = start(
        "withinbot", "ask", "~uptime", environment={"WITHINBOT_SOCKET": str(path)}
    )

    assert asked.wait() == 1
    assert asked.output == f"withinbot: {path}: [Errno 2] No such file or directory\n"
