"""Signatures as ``ssh-keygen -Y`` makes them, with the key that sshd shows."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from reconciler import process
from reconciler.errors import quote
from reconciler.remote import HostKey

NAMESPACE = "reconciler-report"
"""What it must be signed for: a signature for anything else says nothing here."""

DEADLINE = 10.0
"""Seconds."""

_KEYGEN = "ssh-keygen"
_SIGNER = "host"  # the one principal there is: whose keys they are is known before


def sign(data: bytes, key: Path) -> str:
    """
    Return the signature of *data* with the private *key*.

    Raises CommandError and its like where there is no such key, or it has a passphrase.
    """
    argv = [_KEYGEN, "-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE]
    return process.run(argv, stdin=data, deadline=DEADLINE).stdout


def flaw(data: bytes, signature: str, keys: Sequence[HostKey]) -> str:
    """
    Return why *data* is signed by none of *keys*; empty if it is.

    Raises OSError, and what starting a command raises: then nobody knows.
    """
    with tempfile.TemporaryDirectory(prefix="reconciler-report-") as folder:
        allowed, file = Path(folder, "allowed"), Path(folder, "signature")
        allowed.write_text("".join(_line(key) for key in keys))
        file.write_text(signature)
        argv = [_KEYGEN, "-Y", "verify", "-f", str(allowed), "-I", _SIGNER]
        done = process.run(
            [*argv, "-n", NAMESPACE, "-s", str(file)],
            stdin=data,
            deadline=DEADLINE,
            check=False,
        )
    if done.status == 0:
        return ""
    return quote((done.stderr or done.stdout).strip(), 300) or "it does not verify"


def _line(key: HostKey) -> str:
    return f'{_SIGNER} namespaces="{NAMESPACE}" {key.text}\n'
