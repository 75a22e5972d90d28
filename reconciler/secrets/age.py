"""
Files encrypted with age, the only user of pyrage.

An identity is a private key (``AGE-SECRET-KEY-1…``, or an SSH key without passphrase),
a recipient a public one (``age1…``, or a line as in ``authorized_keys``).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyrage

from reconciler.errors import KeyContentError
from reconciler.secrets import files

ENCRYPTED_LIMIT = 2 * files.LIMIT
"""Bytes of the largest encrypted file; armor and headers take some room."""

Identity = Any  # of pyrage, which has no types
Recipient = Any


def decrypt_file(path: Path, identities: Sequence[Path], *, shown: str) -> bytes:
    """
    Return what the encrypted file *path* holds.

    Raises KeyContentError that says *shown*: no such file, no identity, another's.
    """
    encrypted = files.read(path, shown=shown, limit=ENCRYPTED_LIMIT)
    if not identities:
        message = f"{shown}: is encrypted, and there is no identity to decrypt it with"
        raise KeyContentError(message)
    keys = [key for file in identities for key in read_identities(file)]
    try:
        content: bytes = pyrage.decrypt(encrypted, keys)
    except pyrage.DecryptError as error:
        message = f"{shown}: cannot be decrypted: {_reason(error, identities)}"
        raise KeyContentError(message) from None
    if len(content) > files.LIMIT:
        message = f"{shown}: holds more than {files.LIMIT >> 20} MiB"
        raise KeyContentError(message)
    return content


def encrypt(content: bytes, recipients: Iterable[str]) -> bytes:
    """Return *content*, armored, for *recipients*. Raises KeyContentError."""
    keys = [recipient(text) for text in recipients]
    if not keys:
        message = "there is no recipient to encrypt for"
        raise KeyContentError(message)
    encrypted: bytes = pyrage.encrypt(content, keys, armored=True)
    return encrypted


def recipient(text: str) -> Recipient:
    """Return the public key *text*. Raises KeyContentError."""
    if "SECRET" in text.upper() or "PRIVATE" in text.upper():
        message = "that is a private key: a recipient is a public one (age1…)"
        raise KeyContentError(message)
    kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(text)
    except pyrage.RecipientError:
        message = f"{text[:60]!r} is no recipient: age1…, ssh-ed25519 … or ssh-rsa …"
        raise KeyContentError(message) from None


def read_identities(path: Path) -> list[Identity]:
    """Return the private keys in the file *path*. Raises KeyContentError."""
    text = files.read(path, shown=str(path))
    try:
        if text.lstrip().startswith(b"-----BEGIN"):
            return [pyrage.ssh.Identity.from_buffer(text)]
        lines = text.decode("ascii", errors="replace").splitlines()
        found = [line.strip() for line in lines if line.strip()]
        keys = [_identity(line) for line in found if not line.startswith("#")]
    except pyrage.IdentityError as error:
        # pyrage's words for it do not quote the key.
        message = f"{path}: is no identity: {error}"
        raise KeyContentError(message) from None
    if not keys:
        message = f"{path}: holds no identity (AGE-SECRET-KEY-1…)"
        raise KeyContentError(message)
    return keys


def _identity(line: str) -> Identity:
    return pyrage.x25519.Identity.from_str(line)


def _reason(error: Exception, identities: Sequence[Path]) -> str:
    if "No matching keys" in str(error):
        names = ", ".join(map(str, identities))
        return f"it is encrypted for others than {names}"
    return "it is damaged, or not encrypted with age"
