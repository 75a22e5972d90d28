"""What a commit says of the SSH server of its host, as Nix prints it."""

import base64
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.model import SshServer

_KINDS = ("ssh-", "ecdsa-", "sk-")


def ssh_from_nix(facts: Mapping[str, Any]) -> SshServer:
    """Return what *facts* (``nix/ssh.nix``) tell."""
    opened = facts["openPorts"]
    return SshServer(
        enabled=facts["enabled"],
        ports=tuple(facts["ports"]),
        open_ports=None if opened is None else tuple(opened),
        root_login=facts["rootLogin"] or "",
        host_keys=tuple(facts["hostKeys"]),
        logins={name: _fingerprints(keys) for name, keys in facts["logins"].items()},
    )


def ssh_from_json(fields: Mapping[str, Any] | None) -> SshServer | None:
    """Return what was kept; None if it was kept by a version that did not ask."""
    if fields is None:
        return None
    opened = fields["open_ports"]
    return SshServer(
        enabled=fields["enabled"],
        ports=tuple(fields["ports"]),
        open_ports=None if opened is None else tuple(opened),
        root_login=fields["root_login"],
        host_keys=tuple(fields["host_keys"]),
        logins={name: tuple(keys) for name, keys in fields["logins"].items()},
    )


def _fingerprints(lines: Iterable[str]) -> tuple[str, ...]:
    """Return the keys of authorized_keys *lines* as ``ssh-keygen -l`` shows them."""
    return tuple(sorted({one for line in lines for one in _fingerprint(line.split())}))


def _fingerprint(words: list[str]) -> Iterator[str]:
    """Yield what stands behind the options of one line, if it is a key."""
    if words and words[0].startswith("#"):
        return
    for kind, blob in itertools.pairwise(words):
        if kind.startswith(_KINDS):
            try:
                raw = base64.b64decode(blob, validate=True)
            except ValueError:
                continue
            digest = base64.b64encode(hashlib.sha256(raw).digest()).decode()
            yield f"{kind} SHA256:{digest.rstrip('=')}"
            return
