"""
What stands in the /etc of a system: which files, and their texts.

Only what is in the store is a part of the system. A link that leads elsewhere, as to a
secret that something else puts there, is never followed to its text.
"""

import base64
import binascii
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources

from reconciler import process
from reconciler.errors import FactError
from reconciler.model import StorePath
from reconciler.remote import HostReader

DEADLINE = 60.0  # seconds for one question

STORE = "/nix/store/"
_ABSENT, _END, _LARGE = "absent", "end", "large"


def etc_files(
    toplevel: StorePath, reader: HostReader | None
) -> Mapping[str, str] | None:
    """
    Return the file in the store of each name in /etc; asked here unless *reader*.

    None where the system is not there. Raises FactError, CommandError and what reading
    raises.
    """
    text = _ask(("list", toplevel), reader)
    if text.strip() == _ABSENT:
        return None
    facts = [line.partition(" ")[::2] for line in _whole(text)]
    names = [rest.removeprefix("./") for kind, rest in facts if kind == "name"]
    files = [rest for kind, rest in facts if kind == "file"]
    if len(names) != len(files):
        message = f"the files of {toplevel}/etc are not understood"
        raise FactError(message)
    pairs = zip(names, files, strict=True)
    return {name: file for name, file in pairs if file.startswith(STORE)}


def etc_texts(
    files: Sequence[str], reader: HostReader | None
) -> Mapping[str, bytes | None]:
    """Return the texts of *files* in the store; None of one that is too large."""
    if not files:
        return {}
    lines = _whole(_ask(("texts", *files), reader))
    if len(lines) != len(files):
        message = "the texts of files in /etc are not understood"
        raise FactError(message)
    return {file: _text(line) for file, line in zip(files, lines, strict=True)}


def _text(line: str) -> bytes | None:
    if line == _LARGE:
        return None
    kind, _, text = line.partition(" ")
    try:
        if kind == "text":
            return base64.b64decode(text, validate=True)
    except binascii.Error:
        pass
    message = "the text of a file in /etc is not understood"
    raise FactError(message)


def _ask(arguments: Sequence[str], reader: HostReader | None) -> str:
    body = resources.files(__package__).joinpath("etc.sh").read_text("utf-8")
    script = f"set -- {shlex.join(arguments)}\n{body}"
    if reader is not None:
        return reader.read(script, what="files in /etc", deadline=DEADLINE)
    return process.run(("/bin/sh", "-c", script), deadline=DEADLINE).stdout


def _whole(text: str) -> list[str]:
    lines = text.splitlines()
    if lines[-1:] != [_END]:
        message = "an answer about files in /etc was cut off"
        raise FactError(message)
    return lines[:-1]
