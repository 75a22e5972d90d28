"""The runbooks: one form, links that lead somewhere, commands that there are."""

import re
import shlex
from collections.abc import Iterator

import pytest

from reconciler.cli.lazy import SUMMARIES, load
from reconciler.metrics.recorder import WENT_BACK
from tests.support.deployed import ROOT, RUNBOOKS, rules
from tests.unit.cli.test_help import options_of

PAGES = sorted(RUNBOOKS.glob("*.md"))
SHAPE = ["## What it means", "## How to look", "## How to mend"]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


def code(page: str) -> Iterator[str]:
    """Yield every line of code of a page, without what is explained behind it."""
    for block in re.findall(
        r"^```(?:sh|console)\n(.*?)^```", page, re.DOTALL | re.MULTILINE
    ):
        yield from (line.partition("  #")[0].strip() for line in block.splitlines())
    yield from re.findall(r"`([^`]+)`", _BLOCK.sub("", page))


def commands(text: str) -> list[list[str]]:
    """Return the commands of this program among the code of a page, as words."""
    lines = [line for line in code(text) if line.startswith("reconciler ")]
    return [shlex.split(line)[1:] for line in lines]


def test_a_runbook_says_what_it_means_how_to_look_and_how_to_mend(
    subtests: pytest.Subtests,
) -> None:
    for page in PAGES:
        with subtests.test(page.stem):
            text = page.read_text()

            head, severity = text.splitlines()[0:3:2]
            assert head == f"# {page.stem}"
            assert severity == f"*{rules()[page.stem]['labels']['severity']}*"
            assert re.findall(r"^## .*", text, re.MULTILINE) == SHAPE
            looking = text.partition(SHAPE[1])[2].partition(SHAPE[2])[0]
            assert "```sh\n" in looking, "nothing to type"


def test_links_lead_somewhere(subtests: pytest.Subtests) -> None:
    for page in PAGES:
        with subtests.test(page.stem):
            for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
                assert (page.parent / target).is_file(), target


def test_the_commands_of_a_runbook_can_be_typed(subtests: pytest.Subtests) -> None:
    for page in PAGES:
        with subtests.test(page.stem):
            for words in commands(page.read_text()):
                check_command(words)


def test_the_command_of_an_alert_can_be_typed(subtests: pytest.Subtests) -> None:
    for name in rules():
        with subtests.test(name):
            description = rules()[name]["annotations"]["description"]
            assert re.search(r"\b[Ll]ook\b.* with: |The dashboard", description)
            for command in re.findall(r"with: reconciler ([a-z-]+)\b", description):
                check_command([command])


def check_command(words: list[str]) -> None:
    """Assert that there is such a subcommand, and that it has these options."""
    name, *rest = words
    assert name in SUMMARIES, words
    ours = rest[: rest.index("--")] if "--" in rest else rest
    options = {word for word in ours if word.startswith("-")}
    assert options <= options_of(load(name)), words


def test_a_command_that_there_is_not_would_be_noticed() -> None:
    page = (
        "Do `reconciler plan lufta --harder`.\n```sh\nreconciler frobnicate  # x\n```\n"
    )

    found = commands(page)

    assert found == [["frobnicate"], ["plan", "lufta", "--harder"]]
    for words in found:
        with pytest.raises(AssertionError):
            check_command(words)


def test_every_reason_of_a_rollback_is_explained() -> None:
    page = (RUNBOOKS / "ReconcilerDeploymentRolledBack.md").read_text()

    told = set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE))
    assert told == {reason.value for reason in WENT_BACK} - {"asked"}


def test_documentation_names_every_page() -> None:
    page = (ROOT / "docs/monitoring.md").read_text()

    for one in PAGES:
        assert f"runbooks/{one.name}" in page
