"""What is quoted of what hosts and programs say: its end, on one short line. Pure."""

import re

LIMIT = 300
"""Characters."""

_GAP = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")


def quoted(text: str, limit: int = LIMIT) -> str:
    """
    Return the end of *text* on one line of at most *limit* characters.

    Without a colon that nothing follows: of a program that said nothing.
    """
    line = _GAP.sub(" ", text[-4 * limit :]).strip().removesuffix(":")
    return line if len(line) <= limit else "…" + line[1 - limit :]
