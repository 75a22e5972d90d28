"""What a terminal obeys is taken out of text from elsewhere, and nothing else."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import SourceError
from reconciler.printable import on_one_line, printable


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("plain", "plain"),
        ("grüße …\t→\n", "grüße …\t→\n"),
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("\x1b]52;c;cm0gLXJm\x07clipboard", "clipboard"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x1bPq#0\x1b\\sixel", "sixel"),
        ("\x1b[2J\x1b[Hclear", "clear"),
        ("\x1bcreset", "reset"),
        ("\x9b2Jof eight bits", "of eight bits"),
        ("\x9d52;c;eA\x9ceight", "eight"),
        ("\x1b", "\\x1b"),
        ("\x1b]never ended", "\\x1b]never ended"),
        ("a\x00b\x07", "a\\x00b\\x07"),
        ("admin\u202enimda", "admin\\u202enimda"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("10%\r20%\r\n", "10% 20%\n"),
        ("\udc80", "\\udc80"),
        ("\x1b[3\x1b[0m1m!", "!"),
    ],
)
def test_what_is_left_of_text(text: str, harmless: str) -> None:
    assert printable(text) == harmless


HOSTILE = st.text(
    st.sampled_from("\x1b[]0;Jm\x07\\\x9b\x9d\x9c\u202e\r\n\tab") | st.characters()
)


@given(HOSTILE)
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    left = printable(text)

    odd = {one for one in left if unicodedata.category(one) in ("Cc", "Cs")}
    assert odd <= {"\n", "\t"}
    assert not set(left) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert printable(left) == left


@given(HOSTILE)
def test_one_line_is_one_line(text: str) -> None:
    assert len(on_one_line(text).splitlines()) <= 1


def test_no_error_quotes_what_a_terminal_obeys() -> None:
    assert str(SourceError("git: \x1b[2Jno")) == "git: no"
