"""
From ``stat``, ``sha256sum`` and ``readlink`` to keys. Pure.

No error quotes a line: it may hold the hash of a secret.
"""

import posixpath
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.model import ObservedKey
from reconciler.observed.answer import PATH_LIMIT, Answer, AnswerError

MISSING = "missing"
REGULAR = "regular"
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_STATUS = "status="
_LOOKED = frozenset({"0", "1"})  # of stat, which also tells so that some are missing
NO_NAME = "UNKNOWN"
"""What ``stat`` prints for an owner that the host has no name for."""

_KINDS = {
    stat.S_IFREG: REGULAR,
    stat.S_IFLNK: "symlink",
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}
_FOUND = re.compile(
    r"([0-9a-f]{1,8}) (\d{1,20}) (\d{1,10}) (\d{1,10}) (\S{1,256}) (\S{1,256}) (.+)",
    re.ASCII,
)
_SET_AT = re.compile(r"(\d{1,12}) (/.+)", re.ASCII)
_DIGEST = re.compile(r"(\\?)([0-9a-f]{64})  (.+)")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "r": "\r"}
_SLASHES = re.compile("/+")
_UNASKABLE = re.compile("[\0\n\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """A folder of keys, which need not exist."""

    real: str  # with symlinks resolved
    in_memory: bool


def is_key_path(path: str) -> bool:
    """Whether a file could be asked about by that path in an answer made of lines."""
    return path.startswith("/") and not _UNASKABLE.search(path)


def read_keys(answer: Answer, asked: Iterable[str]) -> dict[str, ObservedKey]:
    """
    Return what stands at each asked path; raises AnswerError.

    A file that could not be read, or went away while it was, has no digest. What is no
    path is missing.
    """
    found = dict(_read_found(line) for line in answer.keys)
    digests = dict(_read_digests(answer.digests))
    folders = _read_folders(answer.folders)
    return {path: _key(path, found, digests, folders) for path in asked}


def read_secrets(answer: Answer, asked: Iterable[str]) -> dict[str, ObservedKey]:
    """
    Return what stands at the asked paths of secrets; raises AnswerError.

    Nothing, where the host could not look at all of them.
    """
    paths = [path for path in asked if is_key_path(path)]
    if not paths:
        return {}
    *lines, status = answer.secrets or ("",)
    if not status.startswith(_STATUS):
        message = "it does not say how the look at secrets ended"
        raise AnswerError(message)
    if status.removeprefix(_STATUS) not in _LOOKED:
        return {}
    found = dict(_read_found(line) for line in lines)
    return {
        path: found.get(path, ObservedKey(path=path, kind=MISSING)) for path in paths
    }


def read_left_behind(answer: Answer, running: str) -> dict[str, float]:
    """
    Return by how many seconds links of secrets are older than that at *running*.

    Without those that are not there. Raises AnswerError.
    """
    set_at: dict[str, float] = {}
    for line in answer.renewed:
        if (match := _SET_AT.fullmatch(line)) is None:
            message = "a line about a link of secrets has another form"
            raise AnswerError(message)
        set_at[match[2]] = max(float(match[1]), set_at.get(match[2], 0.0))
    activated = set_at.pop(running, 0.0)
    return {link: activated - when for link, when in set_at.items()}


def _key(
    path: str,
    found: Mapping[str, ObservedKey],
    digests: Mapping[str, str],
    folders: Mapping[str, _Folder],
) -> ObservedKey:
    key = found.get(path, ObservedKey(path=path, kind=MISSING))
    if not is_key_path(path):
        return key
    parent = path.rpartition("/")[0]
    if parent not in folders:
        message = f"it says nothing about the folder of {path}"
        raise AnswerError(message)
    folder = folders[parent]
    return ObservedKey(
        path=path,
        kind=key.kind,
        digest=digests.get(path, "") if key.kind == REGULAR else "",
        user=key.user,
        group=key.group,
        mode=key.mode,
        uid=key.uid,
        gid=key.gid,
        folder="" if _is_itself(parent, folder.real) else folder.real,
        in_memory=folder.in_memory,
    )


def _is_itself(folder: str, real: str) -> bool:
    """
    Whether no symlink leads elsewhere.

    ``/var/run`` is a symlink to ``/run`` on every NixOS and not meant.
    """
    real = _SLASHES.sub("/", real)
    own = posixpath.normpath(_SLASHES.sub("/", folder) or "/")
    if own.startswith("/var/run/"):
        return real in (own, own.removeprefix("/var"))
    return real == own


def _read_found(line: str) -> tuple[str, ObservedKey]:
    """Read one line of ``stat -c '%f %s %u %g %U %G %n'``."""
    match = _FOUND.fullmatch(line)
    if match is None:
        message = "a line about a key has another form"
        raise AnswerError(message)
    bits, _, uid, gid, user, group, path = match.groups()
    mode = int(bits, 16)
    key = ObservedKey(
        path=path,
        kind=_KINDS.get(stat.S_IFMT(mode), "something unknown"),
        user=uid if user == NO_NAME else user,
        group=gid if group == NO_NAME else group,
        mode=stat.S_IMODE(mode),
        uid=int(uid),
        gid=int(gid),
    )
    return path, key


def _read_digests(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    """
    Read the lines of ``sha256sum``, which say nothing about what it could not read.

    GNU's begins a line with a backslash if the name has escapes.
    """
    for line in lines:
        match = _DIGEST.fullmatch(line)
        if match is None:
            message = "a line with a digest has another form"
            raise AnswerError(message)
        escaped, digest, path = match.groups()
        yield _unescaped(path) if escaped else path, digest


def _unescaped(path: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), path)


def _read_folders(lines: tuple[str, ...]) -> dict[str, _Folder]:
    if len(lines) % 3:
        message = "it does not have three lines about each folder of keys"
        raise AnswerError(message)
    if any(len(line) > PATH_LIMIT for line in lines):
        message = "a folder of keys has a longer path than there are"
        raise AnswerError(message)
    triples = zip(lines[::3], lines[1::3], lines[2::3], strict=True)
    return {
        name: _Folder(real=real, in_memory=kind in IN_MEMORY)
        for kind, real, name in triples
    }
