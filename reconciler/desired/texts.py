"""
The texts of keys, asked of Nix on demand.

Their values are secrets, and Nix quotes values in its errors. So of what Nix says only
what is known to be harmless is passed on: the file that is missing, the place in the
repository, and the words of our own ``keys.nix``.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.desired.messages import as_in, diagnose, relative, shortened
from reconciler.desired.nix import Nix
from reconciler.desired.reading import Reading
from reconciler.errors import (
    CommandError,
    CommandMemoryError,
    CommandTimeoutError,
    FetchRefusedError,
    KeyContentError,
)

_LINES_KEPT = 4000
"""Lines of stderr that are looked at, from its end."""

_ABSENT = "No such file or directory"
_FILE = r"['\u2018](?P<file>/[^'\u2019\n]+)['\u2019]"
_WHY = r"(?P<why>[A-Z][a-z ]+)"  # strerror: No such file or directory
_FILE_TROUBLE = (  # what Nix says of a file -> what we say; "": the system's words
    (rf"(?:opening file|getting status of|reading from file) {_FILE}: {_WHY}", ""),
    (rf"path {_FILE} does not exist", _ABSENT),
    (
        rf"contents of the file {_FILE} cannot be represented",
        "holds a NUL byte, which no Nix string can: use keyFile",
    ),
)
_OWN_WORDS = re.compile(
    r"The option `deployment\.keys[^`']*' (?:is |has |does )[^\n]*"
    r"\(its value is a secret and not shown\)"
)
_NOT_UTF8 = re.compile(r"invalid UTF-8|type_error\.316")


def ask(nix: Nix, arguments: Mapping[str, str], reading: Reading) -> dict[str, bytes]:
    """Return the texts; raises KeyContentError, CommandError (see Evaluator)."""
    said: list[str] = []
    try:
        answer = nix.evaluate_secret(
            "key-texts.nix", arguments, reading=reading, on_line=said.append
        )
    except (CommandTimeoutError, CommandMemoryError):
        raise
    except FetchRefusedError as error:
        raise KeyContentError(error.refusal) from None
    except CommandError as error:
        if error.status < 0:
            raise
        lines = as_in(reading.checkout, reading.copy, said[-_LINES_KEPT:])
        refusal = nix.cage.refusal("\n".join(lines), reading.checkout, reading.host)
        message = refusal or _safe(lines, reading.checkout)
        raise KeyContentError(message) from None
    return _decoded(answer)


def _decoded(answer: bytes) -> dict[str, bytes]:
    """Return the texts in Nix's JSON, whose strings may hold any bytes."""
    try:
        values = json.loads(answer.decode(errors="surrogateescape"))
    except ValueError:  # its message would quote
        message = "Nix's answer is not JSON"
        raise KeyContentError(message) from None
    missing = sorted(name for name, value in values.items() if value is None)
    if missing:
        message = "its text is null, and it has neither keyFile nor keyCommand"
        raise KeyContentError(message)
    return {
        name: value.encode(errors="surrogateescape") for name, value in values.items()
    }


def _safe(stderr: Iterable[str], checkout: Path) -> str:
    """Return what may be told of an evaluation that failed."""
    text = "\n".join(stderr)
    if own := _OWN_WORDS.search(text):
        return shortened(own[0], checkout)
    if _NOT_UTF8.search(text):
        return "its text is not UTF-8: use keyFile, which takes any bytes"
    diagnosis = diagnose(text)
    where = next(
        (
            f" (at {name}:{place.line})" if place.line else f" (at {name})"
            for place in diagnosis.positions
            if (name := relative(place.file, checkout))
        ),
        "",
    )
    return f"{_trouble(diagnosis.message, checkout)}{where}"


def _trouble(message: str, checkout: Path) -> str:
    for pattern, why in _FILE_TROUBLE:
        if match := re.search(pattern, message):
            file = relative(match["file"], checkout)
            reason = why or match["why"].strip()
            if file is None or reason != _ABSENT:
                return f"{file or match['file']}: {reason}"
            return f"{file}: {KeyContentError.MISSING}"
    return (
        "its text does not evaluate; what Nix says could quote the secret and is not "
        "shown"
    )
