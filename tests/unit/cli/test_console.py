"""The door out, on a terminal."""

import io
import sys

import pytest

from reconciler.cli.screen.console import Comments, Screen


class Terminal(io.StringIO):
    """What says of itself that it is one."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_what_is_printed_while_a_spinner_turns_arrives_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    screen = Screen(Comments("stderr"))

    with screen.status("looking"):
        screen.print("a warning")
        sys.stderr.write("of a library\n")
        screen.print("another")

    told = terminal.getvalue()
    assert [told.count(one) for one in ("a warning", "of a library", "another")] == [
        *(1, 1, 1)
    ]
