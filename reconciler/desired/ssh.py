"""What a commit says of the SSH server of its host, as Nix prints it."""

from collections.abc import Mapping
from typing import Any

from reconciler.model import SshServer
from reconciler.model.public_keys import fingerprints


def ssh_from_nix(facts: Mapping[str, Any]) -> SshServer:
    """Return what *facts* (``nix/ssh.nix``) tell."""
    opened = facts["openPorts"]
    return SshServer(
        enabled=facts["enabled"],
        ports=tuple(facts["ports"]),
        open_ports=None if opened is None else tuple(opened),
        root_login=facts["rootLogin"] or "",
        host_keys=tuple(facts["hostKeys"]),
        logins={name: fingerprints(keys) for name, keys in facts["logins"].items()},
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
