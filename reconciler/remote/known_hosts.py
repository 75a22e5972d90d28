"""
The reconciler's own known_hosts file, in OpenSSH's format.

sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT": an optional marker, host patterns (with ``*``,
``?`` and ``!``, or hashed as ``|1|salt|digest``), the key's type, the key. Of the
markers ``@revoked`` is honoured; ``@cert-authority`` is left to OpenSSH, because
Paramiko does not verify host certificates.
"""

import base64
import binascii
import contextlib
import fnmatch
import hashlib
import hmac
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import StateError

REVOKED = "@revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """One public key of a host."""

    type: str  # ssh-ed25519, ecdsa-sha2-nistp256, ssh-rsa
    blob: bytes  # as on the wire

    @property
    def fingerprint(self) -> str:
        """SHA256 of the key, written as ssh-keygen(1) writes it."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode()
        return "SHA256:" + digest.rstrip("=")

    @property
    def text(self) -> str:
        """Type and key, as files of keys have them."""
        return f"{self.type} {base64.b64encode(self.blob).decode()}"

    @property
    def label(self) -> str:
        """Type and fingerprint, for people."""
        return f"{self.type} {self.fingerprint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKeys:
    """What the file says about one host."""

    accepted: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()  # never to be accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One line of the file that holds a key."""

    marker: str
    patterns: tuple[str, ...]
    key: HostKey
    comment: str

    def line(self) -> str:
        words = (self.marker, ",".join(self.patterns), self.key.text, self.comment)
        return " ".join(word for word in words if word)


def entry_name(address: str, port: int) -> str:
    """Return the name under which a host's keys are recorded."""
    return address if port == 22 else f"[{address}]:{port}"  # noqa: PLR2004


def public_key(text: str) -> HostKey:
    """
    Return the key that *text* is, as in the ``.pub`` file of a host key.

    Raises ValueError.
    """
    kind, _, rest = text.strip().partition(" ")
    try:
        blob = base64.b64decode(rest.partition(" ")[0], validate=True)
    except ValueError:
        blob = b""
    # RFC 4253: the key begins with its own type, and the length of that.
    if not kind or blob[:4] != len(kind).to_bytes(4, "big") or "\n" in text.strip():
        message = (
            "is no public key: write ssh-ed25519 AAAA…, or the path of such a file"
        )
        raise ValueError(message)
    if blob[4 : 4 + len(kind)] != kind.encode():
        message = f"is no public key: it says {kind} and holds another type"
        raise ValueError(message)
    return HostKey(type=kind, blob=blob)


def known_keys(path: Path, name: str) -> KnownKeys:
    """Return what is recorded for *name*; raises StateError."""
    found = [entry for entry in _entries(path) if _matches(name, entry.patterns)]
    revoked = tuple(entry.key for entry in found if entry.marker == REVOKED)
    accepted = (entry.key for entry in found if not entry.marker)
    return KnownKeys(
        accepted=tuple(key for key in accepted if key not in revoked), revoked=revoked
    )


def add(path: Path, name: str, keys: Iterable[HostKey], *, replace: bool) -> None:
    """
    Record *keys* for *name*; *replace* drops what was recorded for it before.

    Comments and other hosts' lines stay as they are. The file is replaced as a
    whole. Raises StateError.
    """
    lines = _lines(path)
    if replace:
        lines = [kept for line in lines if (kept := _without(line, name)) is not None]
    lines += [
        _Entry(marker="", patterns=(name,), key=key, comment="").line() for key in keys
    ]
    _write(path, "".join(f"{line}\n" for line in lines))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        message = f"{path}: cannot read the known hosts: {error.strerror}"
        raise StateError(message) from error


def _entries(path: Path) -> Iterator[_Entry]:
    for line in _lines(path):
        if entry := _parse(line):
            yield entry


def _parse(line: str) -> _Entry | None:
    """Return what *line* records, or None for comments and what nobody can read."""
    words = line.split()
    marker = words.pop(0) if words and words[0].startswith("@") else ""
    if len(words) < 3 or words[0].startswith("#"):  # noqa: PLR2004 - hosts, type, key
        return None
    patterns, kind, blob, *comment = words
    with contextlib.suppress(binascii.Error, ValueError):
        return _Entry(
            marker=marker,
            patterns=tuple(patterns.split(",")),
            key=HostKey(type=kind, blob=base64.b64decode(blob, validate=True)),
            comment=" ".join(comment),
        )
    return None


def _matches(name: str, patterns: Iterable[str]) -> bool:
    found = False
    for pattern in patterns:
        if pattern.startswith("!") and _match(name, pattern[1:]):
            return False
        found = found or _match(name, pattern)
    return found


def _match(name: str, pattern: str) -> bool:
    if pattern.startswith("|1|"):
        return _hash_matches(name, pattern)
    # Of fnmatch's special characters OpenSSH knows * and ? only: "[" opens a port.
    return fnmatch.fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))


def _hash_matches(name: str, pattern: str) -> bool:
    """Whether *pattern* is the HMAC-SHA1 of *name*, as ssh-keygen -H writes it."""
    try:
        salt, digest = (base64.b64decode(part) for part in pattern.split("|")[2:])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.digest(salt, name.lower().encode(), "sha1"), digest)


def _without(line: str, name: str) -> str | None:
    """Return *line* without *name*: changed, unchanged, or None if nothing is left."""
    entry = _parse(line)
    if entry is None or entry.marker or not _matches(name, entry.patterns):
        return line
    rest = tuple(p for p in entry.patterns if not _match(name, p))
    if not any(not pattern.startswith("!") for pattern in rest):
        return None
    left = _Entry(marker="", patterns=rest, key=entry.key, comment=entry.comment)
    return left.line()


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, text.encode("utf-8", errors="surrogateescape"))
    except OSError as error:
        message = f"{path}: cannot write the known hosts: {error.strerror}"
        raise StateError(message) from error


def _replace(path: Path, data: bytes) -> None:
    """Write *data* beside *path* and move it there, so that readers see all or none."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
