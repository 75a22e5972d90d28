"""
Put keys on a host, and take them away.

The contents go from memory through standard input to the host: no argument, no
environment, no file here. The scripts answer with numbers and reasons; nothing that
they print can hold a content or its hash.
"""

import base64
import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.apply.scripts import script
from reconciler.errors import RemoteError, quote
from reconciler.model import DesiredKey
from reconciler.remote import HostWriter, OnLine

LINE = 3072
"""Bytes of a content in one line of base64; the host reads it byte by byte."""

NO_CONTENT = "-"
CUT_SHORT = "the host did not say what became of it"

_ANSWER = re.compile(
    r"(written|permitted|same|ownerless|removed|gone|failed) (\d{1,6}) ?(.*)", re.ASCII
)
_UNSAFE = re.compile("[\0\n\ud800-\udfff]")
_TOLD = {
    "written": "delivered",
    "permitted": "owner and mode set",
    "removed": "removed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What became of keys, by name."""

    written: tuple[str, ...] = ()  # their content is new on the host
    permitted: tuple[str, ...] = ()  # only owner or mode was set
    same: tuple[str, ...] = ()  # nothing was to be done
    failed: Mapping[str, str] = field(default_factory=dict)  # and why
    ownerless: Mapping[str, str] = field(default_factory=dict)
    """Why the owner could not be set: for now root alone may read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What became of files that held keys, by path."""

    removed: tuple[str, ...] = ()  # also those that were gone already
    failed: Mapping[str, str] = field(default_factory=dict)  # and why


def deliver_keys(
    writer: HostWriter,
    keys: Sequence[tuple[DesiredKey, bytes | None]],
    *,
    deadline: float,
    on_line: OnLine,
) -> Delivered:
    """
    Bring keys with their contents to a host, all in one round trip.

    A file with the right content stays where it is and only gets its owner and mode.
    None as the content means that it is not known: then, too. One key that fails does
    not keep the others from their places, and leaves what stood at its own.

    *deadline* in seconds; *on_line* hears what became of which key. Raises RemoteError,
    RemoteTimeoutError, ConnectError: then any of them may have been delivered.
    """
    refused = {key.name: why for key, _ in keys if (why := _refusal(key))}
    sent = [(key, content) for key, content in keys if key.name not in refused]
    names = [key.name for key, _ in sent]
    answers: list[_Answer] = []
    if sent:
        argv = ("sh", "-c", script("keys"))
        answers = _ask(writer, argv, _stdin(sent), deadline=deadline)
    told = _by_word(answers, names)
    failed = (
        refused
        | told["failed"]
        | dict.fromkeys(_unmentioned(answers, names), CUT_SHORT)
    )
    delivered = Delivered(
        written=tuple(told["written"]),
        permitted=tuple(told["permitted"]),
        same=tuple(told["same"]),
        failed=failed,
        ownerless={n: w for n, w in told["ownerless"].items() if n not in failed},
    )
    _tell(told, failed, on_line)
    return delivered


def remove_keys(
    writer: HostWriter, files: Iterable[str], *, deadline: float, on_line: OnLine
) -> Removed:
    """
    Remove files that were delivered, and the folders made for them that are empty.

    *files* are paths that history knows as delivered. What is not a regular file in
    its own folder any more stays. Raises RemoteError, RemoteTimeoutError, ConnectError.
    """
    paths = list(files)
    refused = {
        path: "it is no path that a key can have"
        for path in paths
        if not _is_plain(path)
    }
    sent = [path for path in paths if path not in refused]
    answers: list[_Answer] = []
    if sent:
        argv = ("sh", "-c", script("keys-remove"), "sh", *sent)
        answers = _ask(writer, argv, b"", deadline=deadline)
    told = _by_word(answers, sent)
    failed = (
        refused | told["failed"] | dict.fromkeys(_unmentioned(answers, sent), CUT_SHORT)
    )
    _tell(told, failed, on_line)
    return Removed(removed=(*told["removed"], *told["gone"]), failed=failed)


# --- to the host -----------------------------------------------------------------


def _refusal(key: DesiredKey) -> str:
    """Return why the host is not even asked to take a key, or an empty text."""
    if not _is_plain(key.path):
        return "it is no path that a key can have"
    for what, name in (("user", key.user), ("group", key.group)):
        if not name or ":" in name or _UNSAFE.search(name):
            return f"{name!r} is no name of a {what}"
    return "" if 0 <= key.mode <= 0o7777 else f"{key.mode:o} is no mode"  # noqa: PLR2004


def _is_plain(path: str) -> bool:
    """Whether a path is absolute, names a file, and has nothing that leads around."""
    if not path.startswith("/") or path.endswith("/") or _UNSAFE.search(path):
        return False
    return not {".", ".."} & set(path.split("/"))


def _stdin(keys: Iterable[tuple[DesiredKey, bytes | None]]) -> bytes:
    lines = [
        line
        for number, (key, content) in enumerate(keys)
        for line in (*_head(number, key), *_content(content))
    ]
    return "".join(f"{line}\n" for line in (*lines, "end")).encode()


def _head(number: int, key: DesiredKey) -> tuple[str, ...]:
    folder, _, name = _normal(key.path).rpartition("/")
    mode = f"{key.mode:o}"
    return ("key", str(number), folder or "/", name, key.user, key.group, mode)


def _normal(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")


def _content(content: bytes | None) -> Iterator[str]:
    if content is None:
        yield from ("0", NO_CONTENT, ".")
        return
    yield str(len(content))
    yield hashlib.sha256(content).hexdigest()
    for start in range(0, len(content), LINE):
        yield base64.b64encode(content[start : start + LINE]).decode()
    yield "."


# --- from the host ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    word: str
    number: int
    reason: str


def _ask(
    writer: HostWriter, argv: Sequence[str], stdin: bytes, *, deadline: float
) -> list[_Answer]:
    what = "changing keys"
    result = writer.run(argv, what=what, deadline=deadline, stdin=stdin, check=False)
    lines = result.stdout.splitlines()
    if "done" not in lines:
        # Nothing of what it printed is quoted: it was given secrets.
        told = "it ended before it was done"
        raise RemoteError(what, host=writer.host, status=result.status, stderr=told)
    matches = (_ANSWER.fullmatch(line) for line in lines)
    return [
        _Answer(word=match[1], number=int(match[2]), reason=quote(match[3]))
        for match in matches
        if match
    ]


def _by_word(
    answers: Iterable[_Answer], names: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return the reasons by word, then by name; every word is there."""
    words = ("written", "permitted", "same", "ownerless", "removed", "gone", "failed")
    told: dict[str, dict[str, str]] = {word: {} for word in words}
    for answer in answers:
        if answer.number < len(names):
            told[answer.word][names[answer.number]] = answer.reason
    return told


def _unmentioned(answers: Iterable[_Answer], names: Sequence[str]) -> list[str]:
    ended = {answer.number for answer in answers if answer.word != "ownerless"}
    return [name for number, name in enumerate(names) if number not in ended]


def _tell(
    told: Mapping[str, Mapping[str, str]], failed: Mapping[str, str], on_line: OnLine
) -> None:
    for word, done in _TOLD.items():
        for name in told[word]:
            on_line(f"key {name}: {done}")
    for name, reason in told["ownerless"].items():
        on_line(f"key {name}: only root may read it for now: {reason}")
    for name, reason in failed.items():
        on_line(f"key {name}: {reason}")
