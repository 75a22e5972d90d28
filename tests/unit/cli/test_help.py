"""Help texts: every subcommand has one, with examples, and the list agrees with it."""

import inspect
import re
from typing import Any

import pytest

from reconciler.cli.lazy import OLD_NAMES, SUMMARIES, load
from tests.unit.cli.conftest import Cli

ACTING = {"run", "worker", "trust", "secrets", "reboot", "logs", "ssh"}
"""The subcommands that do something and have no data to print."""


def options_of(command: Any) -> set[str]:  # noqa: ANN401 -- Typer's own copy of click
    """Return the options of a command and of those below it."""
    below = getattr(command, "commands", {}).values()
    own = (
        one for param in command.params for one in (*param.opts, *param.secondary_opts)
    )
    return {*own, *(option for one in below for option in options_of(one))}


@pytest.mark.parametrize("name", SUMMARIES)
def test_the_summary_is_the_first_line_of_the_help(name: str) -> None:
    first, _, _ = (load(name).help or "").strip().partition("\n")

    assert first == SUMMARIES[name]


@pytest.mark.parametrize("name", SUMMARIES)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_subcommand_explains_itself(cli: Cli, name: str, option: str) -> None:
    said = cli(name, option)

    assert (said.status, said.err) == (0, "")
    assert SUMMARIES[name] in said.out
    assert f"Usage: reconciler {name}" in said.out
    assert "```" not in said.out


@pytest.mark.parametrize("name", sorted(set(SUMMARIES) - {"version"}))
def test_every_help_has_examples_that_can_be_parsed(name: str) -> None:
    """An example with an option that there is not would teach nonsense."""
    help_text = inspect.cleandoc(load(name).help or "")
    examples = re.findall(
        rf"^reconciler (?:-c \S+ )?{name}\b(.*)$", help_text, re.MULTILINE
    )
    assert examples
    known = options_of(load(name))
    for example in examples:
        words = example.partition(" | ")[0].partition(" -- ")[0].split()
        assert {word for word in words if word.startswith("-")} <= known


def test_the_list_of_subcommands_fits_80_columns(cli: Cli) -> None:
    said = cli("--help")

    assert said.status == 0
    for name, summary in SUMMARIES.items():
        (line,) = (line for line in said.lines if line.startswith(f"│ {name} "))
        assert summary in line


@pytest.mark.parametrize("name", SUMMARIES)
def test_those_that_print_data_can_print_json(name: str) -> None:
    options = options_of(load(name))

    assert ("--json" in options) == (name not in ACTING)


def test_without_a_subcommand_the_help_is_shown(cli: Cli) -> None:
    said = cli.bare()

    assert said.status == 2
    assert "Begin with" in said.out + said.err


def test_a_mistyped_subcommand_gets_a_guess(cli: Cli) -> None:
    said = cli("statsu")

    assert said.status == 2
    assert "Did you mean 'status'" in said.err


def test_the_version_is_also_an_option(cli: Cli) -> None:
    assert (
        cli("--version").out
        == f"reconciler {cli('version', '--json').json['reconciler']}\n"
    )


@pytest.mark.parametrize("name", OLD_NAMES)
def test_old_names_are_understood_and_not_shown(cli: Cli, name: str) -> None:
    instead = OLD_NAMES[name]

    said = cli(name, "--help")

    assert said.out == cli(*instead, "--help").out
    assert said.err == f"hint: `{name}` is `reconciler {' '.join(instead)}` now\n"
    assert not any(line.startswith(f"│ {name} ") for line in cli("--help").lines)


@pytest.mark.parametrize("words", [(), ("--json",), ("nowhere",)])
def test_list_need_not_be_said_for_keys(cli: Cli, words: tuple[str, ...]) -> None:
    assert cli("keys", *words) == cli("keys", "list", *words)
