"""
Text from elsewhere, as a terminal, a log and a chat can be given it.

What hosts, Nix, git and people wrote may hold what a terminal obeys: it clears the
screen, sets the clipboard, or shows a line in another order than it is written in. Such
text is made harmless where it comes in (errors, commits, history) and once more where
it goes out (the terminal, messages).
"""

import re

_SEQUENCES = re.compile(
    r"""
    (?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]                   # colours, moves: CSI
    | (?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])             # OSC, DCS, SOS, PM, APC …
      [^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)             # … to their ends
    | \x1b[ -/]*[0-OQ-WYZ\\`-~]                         # the others
    """,
    re.VERBOSE,
)
_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
    "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)
"""Control characters but tab and newline, what turns text round, half characters."""

_LOGIN = re.compile(r"//[^/@\s]+@")

LAST_BYTE = 0xFF


def printable(text: str) -> str:
    """
    Return *text* without what a terminal obeys.

    Whole sequences, such as those of colours, go; other control characters are shown
    by their numbers. Tabs and newlines stay. Doing it twice changes nothing.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n")
    while (shorter := _SEQUENCES.sub("", text)) != text:  # what is left may form one
        text = shorter
    return _ODD.sub(_shown, text)


def on_one_line(text: str) -> str:
    """Return *text* so for where a line is all there is room for."""
    return " ".join(printable(text).split())


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    if found[0] == "\r":
        return " "
    return f"\\x{code:02x}" if code <= LAST_BYTE else f"\\u{code:04x}"


def shown(text: str) -> str:
    """Return *text* without the login, which may be a token, of any URL in it."""
    return _LOGIN.sub("//", text)
