"""How the text of a file differs, line by line (pure)."""

import difflib
from dataclasses import dataclass

from reconciler.plan.shapes import FileShape
from reconciler.printable import printable

CONTEXT = 3  # lines around what differs
TOO_LARGE = "it differs, and is too large to be shown"
NO_TEXT = "it differs, and is no text"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDiff:
    """A file that differs between two systems."""

    path: str  # as on a host
    kind: str  # changed, added, removed
    lines: tuple[str, ...] = ()  # of a unified diff, without its head
    note: str = ""  # instead of lines


def file_diff(
    path: str, before: bytes | None, after: bytes | None, *, large: bool = False
) -> FileDiff | None:
    """
    Return how *path* differs; None where its content is the same.

    *before* or *after* is None where there is no such file.
    """
    if large:
        return FileDiff(path=path, kind=_kind(before, after), note=TOO_LARGE)
    if before == after:
        return None
    texts = [_lines(before), _lines(after)]
    old, new = texts
    if old is None or new is None:
        return FileDiff(path=path, kind=_kind(before, after), note=NO_TEXT)
    found = difflib.unified_diff(old, new, lineterm="", n=CONTEXT)
    lines = [printable(line) for line in found]
    return FileDiff(path=path, kind=_kind(before, after), lines=tuple(lines[2:]))


def _kind(before: bytes | None, after: bytes | None) -> str:
    if before is None:
        return "added"
    return "removed" if after is None else "changed"


def _lines(text: bytes | None) -> list[str] | None:
    """Return the lines of a text; None of what is none."""
    if text is None:
        return []
    if b"\0" in text:
        return None
    try:
        return text.decode().split("\n")
    except UnicodeDecodeError:
        return None


def file_as_dict(one: FileDiff) -> FileShape:
    """Return *one* for JSON."""
    return {
        "path": one.path,
        "kind": one.kind,
        "diff": list(one.lines),
        "note": one.note,
    }
