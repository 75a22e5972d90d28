"""The command lines that a login shell gets."""

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import Target
from reconciler.remote.session import argv_command, quote, script_command

WORDS = st.text(
    alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=12
)
SHELLS = [path for name in ("sh", "bash", "fish") if (path := shutil.which(name))]


@pytest.mark.parametrize("shell", SHELLS)
@given(words=st.lists(WORDS, max_size=6))
def test_words_come_through_every_shell(shell: str, words: list[str]) -> None:
    line = " ".join(quote(word) for word in ("printf", "%s\\0", *words, "end"))

    done = subprocess.run(
        [shell, "-c", line], capture_output=True, timeout=100, check=True
    )

    assert done.stdout.decode() == "".join(f"{word}\0" for word in (*words, "end"))


def test_root_needs_no_escalation() -> None:
    command = script_command("id", Target(address="x"), deadline=2.5)

    assert command.line == "timeout -k 1 2.500 sh -c 'eval \"$(cat)\"'"
    assert command.stdin == b"id"


def test_the_deadline_is_kept_by_a_process_of_root() -> None:
    """Without privileges, timeout(1) could not kill what sudo started."""
    target = Target(address="x", user="deploy", escalation=("doas", "--"))

    command = argv_command(["id"], target, deadline=3, stdin=None, on_line=None)

    assert command.line == "doas -- timeout -k 1 3.000 id"


def test_run0_does_not_log_each_command_as_the_name_of_its_unit() -> None:
    target = Target(address="x", user="deploy", escalation=("/bin/run0", "--nice=5"))

    command = argv_command(["id"], target, deadline=3, stdin=None, on_line=None)

    assert command.line == (
        "/bin/run0 --description=reconciler --nice=5 timeout -k 1 3.000 id"
    )
