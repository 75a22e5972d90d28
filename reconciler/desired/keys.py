"""
Keys as Nix declares them: from facts to values, or to an error that names the key.

What is wrong here is wrong in the configuration, so that the whole host fails to
evaluate, as with any other option. Nothing here is the content of a key.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from reconciler.errors import EvaluationError
from reconciler.model import DesiredKey, HostName, KeyOrigin, UnitName

NAME_LIMIT = 200
"""Bytes of a file's name; a temporary file beside it needs some more, of 255."""

_ORIGINS = {
    "text": KeyOrigin.TEXT,
    "keyFile": KeyOrigin.FILE,
    "keyCommand": KeyOrigin.COMMAND,
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_MODE = re.compile(r"[0-7]{3,4}", re.ASCII)
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?", re.ASCII)
_UNIT = re.compile(r"[A-Za-z0-9_.:@\\-]{1,240}", re.ASCII)
_SUFFIX = re.compile(r"\.(service|socket|target|timer|path|mount)$", re.ASCII)

Json = Mapping[str, Any]


def desired_keys(
    host: HostName, facts: Json, roots: Sequence[Path]
) -> dict[str, DesiredKey]:
    """
    Return the keys that *facts* (``nix/facts.nix``) tell of *host*, by name.

    Files below one of *roots* become relative to it. Raises EvaluationError that names
    the key, or both keys.
    """
    try:
        keys = {name: _key(name, fact, roots) for name, fact in facts.items()}
        _check_paths(keys)
    except ValueError as error:
        raise EvaluationError(str(error), host=host) from error
    return keys


def keys_from_json(fields: Json) -> dict[str, DesiredKey]:
    """Return the keys in a cached evaluation; TypeError, KeyError or ValueError."""
    return {
        name: DesiredKey(
            **{
                **key,
                "origin": KeyOrigin(key["origin"]),
                "command": tuple(key["command"]),
                "restart_units": tuple(map(UnitName, key["restart_units"])),
            }
        )
        for name, key in fields.items()
    }


def _key(name: str, fact: Json, roots: Sequence[Path]) -> DesiredKey:
    return DesiredKey(
        name=name,
        path=_path(name, fact["path"]),
        origin=_ORIGINS[fact["source"]],
        file=_file(name, fact["keyFile"] or "", roots),
        command=tuple(fact["keyCommand"] or ()),
        user=_account(name, "user", fact["user"]),
        group=_account(name, "group", fact["group"]),
        mode=_mode(name, fact["permissions"]),
        before_activation=fact["uploadAt"] == "pre-activation",
        restart_units=tuple(_unit(name, unit) for unit in fact["restartUnits"]),
    )


def _path(name: str, text: str) -> str:
    """Return the path of a key in the one form that paths are compared in."""
    parts = text.split("/")
    problem = ""
    if not text.startswith("/"):
        problem = "is not absolute"
    elif _CONTROL.search(text):
        problem = "holds a line break or another control character"
    elif ".." in parts:
        problem = "goes through `..'"
    elif parts[-1] in {"", "."}:
        problem = "names no file"
    elif len(parts[-1].encode(errors="replace")) > NAME_LIMIT:
        problem = f"has a name of more than {NAME_LIMIT} bytes"
    if problem:
        raise _wrong(name, f"the path {_shown(text)} {problem}: see destDir and name")
    return "/" + "/".join(part for part in parts if part not in {"", "."})


def _file(name: str, text: str, roots: Sequence[Path]) -> str:
    if _CONTROL.search(text):
        raise _wrong(name, f"keyFile {_shown(text)} holds a control character")
    path = PurePosixPath(text)
    for base in (form for root in roots for form in (root.absolute(), root.resolve())):
        if text and path.is_relative_to(base):
            return str(path.relative_to(base))
    return text


def _account(name: str, option: str, text: str) -> str:
    if not _ACCOUNT.fullmatch(text):
        raise _wrong(name, f"{option} {_shown(text)} is no name of a {option}")
    return text


def _mode(name: str, text: str) -> int:
    if not _MODE.fullmatch(text):
        raise _wrong(name, f"permissions {_shown(text)} are not octal, such as 0400")
    return int(text, 8)


def _unit(name: str, text: str) -> UnitName:
    if not _UNIT.fullmatch(text):
        raise _wrong(name, f"restartUnits: {_shown(text)} is no unit")
    return UnitName(text if _SUFFIX.search(text) else f"{text}.service")


def _check_paths(keys: Mapping[str, DesiredKey]) -> None:
    """Refuse two keys with one path, and a key in a folder that is another key."""
    owners: dict[str, str] = {}
    for name, key in sorted(keys.items()):
        if key.path in owners:
            other = owners[key.path]
            raise _wrong(name, f"{key.path} is also the path of {other}")
        owners[key.path] = name
    for name, key in sorted(keys.items()):
        for folder in map(str, PurePosixPath(key.path).parents):
            if folder in owners:
                other = owners[folder]
                message = f"{key.path} is inside {folder}, the path of {other}"
                raise _wrong(name, message)


def _wrong(name: str, problem: str) -> ValueError:
    return ValueError(f"deployment.keys.{name}: {problem}")


def _shown(text: str) -> str:
    """Return *text* in quotes, one line, its beginning if long."""
    return repr(text[:80])
