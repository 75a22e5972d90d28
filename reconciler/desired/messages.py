"""
What Nix says on stderr when it fails (pure parsers).

Nix up to 2.18 prints the error first and the trace after it; later ones and Lix print
the trace first and the error last, indented. Both quote the source around a position;
such lines are left out here, since a line of a repository may hold a secret.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from reconciler.errors import QUOTE_LIMIT

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_POSITION = re.compile(r"^\s*at (?P<file>.+?):(?P<line>\d+)(?::\d+)?:?$")
_TRACED_FILE = re.compile(r"^\s*… while evaluating .*[`'\"](?P<file>/[^`'\"]+)['\"]:?$")
_INNER = re.compile(r"^\s{4,}error:(?=\s|$)")
_QUOTED_SOURCE = re.compile(r"^\s*\d*\s?\|")
_TRACE = re.compile(r"^\s*(?:…|\.\.\.) ")
_USELESS = re.compile(r"^\(use '--show-trace'|^\s*\(stack trace truncated")
_FILE_IN_TEXT = re.compile(r"(/[^`'\"\u2019\u201d:,]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in a file, as Nix names it."""

    file: str
    line: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One error of Nix."""

    message: str  # without positions, traces and quoted source
    positions: tuple[Position, ...]  # the nearest to the error first
    own: Position | None = None  # of the error itself, where Nix names one


def diagnose(stderr: str) -> Diagnosis:
    """Return what the *stderr* of a failed evaluation says."""
    block = _error_block(_ANSI.sub("", stderr).splitlines())
    inner = [n for n, line in enumerate(block) if n and _INNER.match(line)]
    start = inner[-1] if inner else 0
    error, trace = block[start:], block[:start]
    own = _own_position(error)
    after = [p for p in _positions(error) if p != own]
    before = list(_positions(trace))[::-1]
    nearest = (own,) if own else ()
    return Diagnosis(
        message=_message(error), positions=(*nearest, *after, *before), own=own
    )


def as_in(checkout: Path, copy: str, lines: Iterable[str]) -> list[str]:
    """Return *lines* with files of the *copy*, if any, named as those of *checkout*."""
    if not copy:
        return list(lines)
    # Nix 2.8 writes two slashes after the root of a flake. A flake that has its own
    # folder as text ("${self}/x", "${./.}") may copy it once more, under both names.
    folder, _, name = copy.rpartition("/")
    again = rf"{re.escape(folder)}/[0-9a-z]{{32}}-{re.escape(name)}"
    inside = re.compile(f"(?:{re.escape(copy)}|{again})/+")
    return [inside.sub(f"{checkout}/", line) for line in lines]


def relative(file: str, checkout: Path) -> str | None:
    """Return *file* relative to *checkout*; None if it lies elsewhere."""
    path = Path(file)
    for base in (checkout, checkout.resolve()):
        if path != base and path.is_relative_to(base):
            return str(path.relative_to(base))
    return None


def files_named_in(message: str, checkout: Path) -> Iterator[str]:
    """Yield the existing files of *checkout* that *message* names, relative to it."""
    for match in _FILE_IN_TEXT.finditer(message):
        name = relative(match[1], checkout)
        if name is not None and Path(match[1]).is_file():
            yield name


def shortened(message: str, checkout: Path) -> str:
    """Return *message* with paths relative to *checkout*, its beginning if long."""
    for base in sorted({str(checkout), str(checkout.resolve())}, key=len, reverse=True):
        message = message.replace(f"{base}/", "")
    if len(message) <= QUOTE_LIMIT:
        return message
    return message[:QUOTE_LIMIT] + "…"


# --- builds ----------------------------------------------------------------------

_FAILED_BUILDER = re.compile(
    r"(?:builder for|Cannot build|build of) ['\u2018](?P<drv>/[^'\u2019]+\.drv)"
    r"(?=.*?(?:failed with|failed due|failed to produce|Reason: (?!\d+ depend)))",
    re.DOTALL,
)
_HASHED = re.compile(r"^/.*/[0-9a-z]{32}-")


def failed_derivation(stderr: str) -> str | None:
    """Return the derivation whose builder failed, not those that needed it."""
    plain = _ANSI.sub("", stderr)
    errors = re.split(r"(?m)^(?=error:)|\n(?=\s+error:)", plain)
    matches = (_FAILED_BUILDER.search(error) for error in errors)
    return next((match["drv"] for match in matches if match), None)


def derivation_name(derivation: str) -> str:
    """Return the name in a derivation's store path (``unit-withinbot.service``)."""
    return _HASHED.sub("", derivation).removesuffix(".drv")


def error_text(stderr: str) -> str:
    """Return the message of the last error in *stderr*."""
    return diagnose(stderr).message


# --- parts -----------------------------------------------------------------------


def _error_block(lines: Sequence[str]) -> list[str]:
    """Return the last error: what comes before it is traces and warnings."""
    starts = [n for n, line in enumerate(lines) if line.startswith("error:")]
    # Nix ends a single error with it; what came after would belong to no error.
    return list(lines[starts[-1] :]) if starts else list(lines)


def _own_position(error: Sequence[str]) -> Position | None:
    """Return the position right below the message, before any trace."""
    head = takewhile(lambda line: not _TRACE.match(line), error)
    return next(_positions(list(head)), None)


def _positions(lines: Sequence[str]) -> Iterator[Position]:
    for line in lines:
        if match := _POSITION.match(line):
            yield Position(file=match["file"], line=int(match["line"]))
        elif match := _TRACED_FILE.match(line):  # the module system: no line known
            yield Position(file=match["file"], line=None)


def _message(error: Sequence[str]) -> str:
    ends = (_POSITION, _QUOTED_SOURCE, _TRACE, _USELESS)
    said = takewhile(lambda line: not any(end.match(line) for end in ends), error)
    lines = [line.removeprefix(" " * 7) for line in said]
    text = "\n".join(lines).strip().removeprefix("error:")
    return text.strip() or "-"
