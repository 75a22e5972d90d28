"""Reading ``reconciler.yaml``: every problem at once, each with its line and key."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeGuard, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reconciler.errors import SettingsError
from reconciler.settings.document import (
    UNREADABLE,
    Document,
    DocumentError,
    Place,
    Problem,
    parse,
)
from reconciler.settings.hosts import HostSettings
from reconciler.settings.schema import Settings
from reconciler.settings.serving import WebhookSettings

SIZE_LIMIT = 1 << 20
"""Bytes of the largest settings file that we read."""

_ACCEPTED = {
    "bool_type": "true or false",
    "dict_type": "keys with values",
    "int_type": "a whole number",
    "model_type": "keys with values",
    "path_type": "a path",
    "string_type": "text",
    "tuple_type": "a list",
}

_CONTAINERS = frozenset({"dict_type", "model_type", "tuple_type"})

_OF_SECRETS = frozenset({"api", "notify", "secrets", "statuses", "webhooks"})
"""Sections that name secrets: one that stands there itself must not be told on."""

_NAMED: dict[str, type[BaseModel]] = {
    "hosts": HostSettings,
    "webhooks": WebhookSettings,
}
"""Sections with a table for each of some names."""


def load(path: Path) -> Settings:
    """
    Return the settings in the file at *path*.

    Relative paths in it are taken from its folder. Raises SettingsError with one line
    ``FILE:LINE: KEY: what is wrong`` for each problem.
    """
    try:
        document = parse(_read(path))
    except DocumentError as error:
        raise _error(path, [error.problem]) from error
    return _validate(path, document)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
        raise SettingsError(message) from error
    if len(content) > SIZE_LIMIT:
        message = f"{path}: is larger than {SIZE_LIMIT >> 20} MiB"
        raise SettingsError(message)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = Problem(line=line, message="is not UTF-8 text")
        raise _error(path, [problem]) from error


def _validate(path: Path, document: Document) -> Settings:
    problems = list(document.problems)
    folder = path.absolute().parent
    try:
        # An empty file lacks what every file needs, and is told so.
        value = {} if document.value is None else document.value
        settings = Settings.model_validate(value, context={"folder": folder})
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems += [_problem(each, document) for each in details if _is_new(each)]
        raise _error(path, problems) from error
    if problems:
        raise _error(path, problems)
    return settings


def _is_new(details: ErrorDetails) -> bool:
    """Say whether nobody has complained of this value yet."""
    return details["input"] is not UNREADABLE


def _error(path: Path, problems: list[Problem]) -> SettingsError:
    lines = (
        f"{path}:{problem.line}: {_dotted(problem.place)}{problem.message}"
        for problem in sorted(problems, key=lambda problem: problem.line)
    )
    return SettingsError("\n".join(lines))


def _dotted(place: Place) -> str:
    path = ""
    for part in place:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return f"{path[1:]}: " if path else ""


# --- words for pydantic's findings -----------------------------------------------


def _problem(details: ErrorDetails, document: Document) -> Problem:
    place = tuple(part for part in details["loc"] if part != "[key]")
    message = _message(details, place)
    return Problem(line=document.line(place), place=place, message=message)


def _message(details: ErrorDetails, place: Place) -> str:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return _unknown(place)
        case "missing":
            return "is missing, and has no default"
        case "value_error":
            hidden = "[key]" not in details["loc"] and not _is_open(place)
            return _without(value if hidden else "", str(context["error"]))
        case "enum":
            accepted = str(context["expected"]).replace("'", "")
            return f"should be {accepted}, not {_shown(value, place)}"
        case "greater_than_equal" | "less_than_equal":
            bound = "least" if kind.startswith("greater") else "most"
            limit = context["ge" if bound == "least" else "le"]
            return f"should be at {bound} {limit}, not {_shown(value, place)}"
        case _:
            accepted = _ACCEPTED.get(kind, details["msg"])
            told = _shown(value, place, plain=kind not in _CONTAINERS)
            return f"should be {accepted}, not {told}{_quote_hint(kind)}"


def _quote_hint(kind: str) -> str:
    return "; put text in quotes" if kind == "string_type" else ""


def _shown(value: object, place: Place, *, plain: bool = True) -> str:
    """
    Return *value* as the file has it, or what it is if that is long.

    Text is not shown where a secret may stand by mistake: these errors go into logs and
    into the audit log. That is where keys or a list should be instead of a *plain*
    value, and wherever secrets are named.
    """
    if isinstance(value, str) and not (plain and _is_open(place)):
        return "text"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return repr(value)[:60]
    if isinstance(value, dict | list):
        return "keys with values" if isinstance(value, dict) else "a list"
    return "nothing"


def _is_open(place: Place) -> bool:
    return not place or place[0] not in _OF_SECRETS


def _without(value: object, message: str) -> str:
    """Return *message* without the text *value*."""
    if not isinstance(value, str) or not value:
        return message
    return message.replace(repr(value), "what stands there")


def _unknown(place: Place) -> str:
    """Say what could have been meant by the unknown key at *place*."""
    name, known = str(place[-1]), _names(place[:-1])
    close = difflib.get_close_matches(name, known, n=1)
    elsewhere = [path for path in _all_names() if path.split(".")[-1] == name]
    # Who leaves out a section writes its key too far up.
    deeper = [path for path in elsewhere if path.count(".") >= len(place)]
    hint = "there are: " + ", ".join(known)
    if close or elsewhere:
        hint = f"did you mean {(deeper or close or elsewhere)[0]}?"
    return f"is no setting; {hint}"


def _names(place: Place) -> list[str]:
    """Return the keys that the section at *place* takes."""
    found: object = Settings
    for part in place:
        found = _below(found, part)
    return list(found.model_fields) if _is_section(found) else []


def _is_section(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _below(kind: object, part: str | int) -> object:
    """Return what lies below the key or index *part* of a value of *kind*."""
    if _is_section(kind):
        return _plain(kind.model_fields[str(part)].annotation)
    inside = [one for one in get_args(kind) if one is not Ellipsis]
    return _plain(inside[-1]) if inside else kind


def _plain(kind: object) -> object:
    """Return a type without its annotations."""
    return _plain(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def _all_names() -> Iterator[str]:
    for name, section in _sections().items():
        inside = f"{name}.NAME" if name in _NAMED else name
        yield from (f"{inside}.{key}" for key in section.model_fields)


def _sections() -> dict[str, type[BaseModel]]:
    """Return what lies below each key of the top level that holds more than a value."""
    kinds = {key: field.annotation for key, field in Settings.model_fields.items()}
    sections = {
        key: kind
        for key, kind in kinds.items()
        if isinstance(kind, type) and issubclass(kind, BaseModel)
    }
    return {**sections, **_NAMED}
