"""
Whether a flake asked which commit it is.

What a flake knows of its own source is behind a trace (``nix/watched.nix``). Who asked
is not in it: it is looked for in the files of the repository that were read.
"""

import os
import re
from collections.abc import Iterator
from itertools import islice

from reconciler.desired.ground import Ground
from reconciler.desired.trace import READ, Trace

_ASKED = "/which-commit-is-asked-by-"
_PLACES = 3
_SIZE_LIMIT = 1 << 20


def told(trace: Trace, ground: Ground) -> str:
    """Return for people what a flake asked of itself, and where; empty if nothing."""
    paths = {access.path for access in trace.accesses if _ASKED in access.path}
    names = sorted({path.rpartition(_ASKED)[2] for path in paths})
    if not names:
        return ""
    word = re.compile(rf"\b(?:{'|'.join(map(re.escape, names))})\b")
    found = islice(places(trace, ground, word), _PLACES)
    where = ", ".join(found) or "perhaps by an input, or with all inputs"
    what = " and ".join(f"self.{name}" for name in names)
    return f"it asks which commit it is: {what} ({where})"


def places(trace: Trace, ground: Ground, word: re.Pattern[str]) -> Iterator[str]:
    """Yield where files of the repository that were read have a *word*: file:line."""
    read = {access.path for access in trace.accesses if access.how == READ}
    inside = {path: ground.inside(os.path.normpath(path)) for path in read}
    for path, name in sorted(inside.items()):
        if name and name.endswith(".nix"):
            for number, line in enumerate(_lines(path), start=1):
                if word.search(line):
                    yield f"{name}:{number}"


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 -- text, any bytes
            return file.read(_SIZE_LIMIT).split("\n")
    except (OSError, ValueError):
        return []
