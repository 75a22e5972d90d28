"""The form of the probe's answer: sections, fields and resolved paths. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MARK = "== "
SECTIONS = (
    *("host", "units", "paths", "resolved"),
    *("keys", "digests", "folders", "end"),
)
LIMIT = 8 * 1024 * 1024
"""Characters; a host with a thousand units answers with half a million."""

VALUE_LIMIT = 64 * 1024
"""Characters of one value: the drop-ins of a unit are a list of paths."""

PATH_LIMIT = 4096
"""Characters of a path, as on Linux; what is longer is none, and is not kept."""


class AnswerError(ValueError):
    """The answer does not have the form that the script gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of one host, taken apart."""

    fields: Mapping[str, str]  # of the section "host"
    units: tuple[Mapping[str, str], ...]  # the properties of each
    resolved: Mapping[str, str]  # paths to what they lead to; only those that exist
    keys: tuple[str, ...]  # lines about what stands at the paths of keys
    digests: tuple[str, ...] = field(repr=False)  # lines of sha256sum; never shown
    folders: tuple[str, ...]  # three lines about each folder of keys
    secrets: tuple[str, ...] = ()  # as `keys`, and how the look at them ended
    renewed: tuple[str, ...] = ()  # links of secrets, and when they were set


def read_answer(text: str) -> Answer:
    """Take the output of the probe script apart; raises AnswerError."""
    if len(text) > LIMIT:
        message = f"it is longer than {LIMIT} characters"
        raise AnswerError(message)
    sections = _sections(text)
    return Answer(
        fields=_fields(sections["host"]),
        units=tuple(_blocks(sections["units"])),
        resolved=_pairs(sections["paths"], sections["resolved"]),
        keys=tuple(filter(None, sections["keys"])),
        digests=tuple(filter(None, sections["digests"])),
        folders=tuple(sections["folders"]),
        secrets=tuple(filter(None, sections.get("secrets", []))),
        renewed=tuple(filter(None, sections.get("renewed", []))),
    )


def _sections(text: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    lines: list[str] | None = None
    # Not splitlines(): only a newline ends a line here.
    for line in text.split("\n"):
        if line.startswith(MARK):
            lines = sections.setdefault(line.removeprefix(MARK), [])
        elif lines is not None:
            lines.append(line)
    missing = [name for name in SECTIONS if name not in sections]
    if missing:
        message = f"it has no section {missing[0]!r}"
        raise AnswerError(message)
    return sections


def _fields(lines: Iterable[str]) -> dict[str, str]:
    """Read ``name=value`` lines; lines without ``=`` say nothing."""
    pairs = (_bounded(line, VALUE_LIMIT).partition("=") for line in lines)
    return {name: value for name, equals, value in pairs if equals}


def _bounded(line: str, limit: int) -> str:
    if len(line) > limit:
        message = f"it has a line of {len(line)} characters: {line[:80]!r}"
        raise AnswerError(message)
    return line


def _blocks(lines: Iterable[str]) -> Iterable[dict[str, str]]:
    """Read the blocks of ``systemctl show``, with blank lines between them."""
    block: list[str] = []
    for line in (*lines, ""):
        if line:
            block.append(line)
        elif block:
            yield _fields(block)
            block = []


def _pairs(paths: list[str], resolved: list[str]) -> dict[str, str]:
    sources, ends = list(filter(None, paths)), list(filter(None, resolved))
    if len(sources) != len(ends):
        message = f"it has {len(sources)} paths and {len(ends)} resolved ones"
        raise AnswerError(message)
    return {
        _bounded(source, PATH_LIMIT): _bounded(end, PATH_LIMIT)
        for source, end in zip(sources, ends, strict=True)
    }
