"""Getting to know a host: fetching its keys and recording them."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import paramiko

from reconciler.errors import ConnectError
from reconciler.model import HostName, Target
from reconciler.remote import known_hosts as file
from reconciler.remote.connect import bounded, host_key, open_socket, refused, shut
from reconciler.remote.known_hosts import HostKey
from reconciler.remote.route import Route, find_route
from reconciler.settings import SshSettings

ALGORITHMS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512")
"""One signature algorithm for each type of key that sshd has by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """One key of a host, to be shown to whoever decides to trust it."""

    key: HostKey
    recorded: bool  # before now

    @property
    def type(self) -> str:
        """The key's type: ssh-ed25519."""
        return self.key.type

    @property
    def fingerprint(self) -> str:
        """Its fingerprint, SHA256:…, as ``ssh-keygen -l`` shows it on the host."""
        return self.key.fingerprint


def trust(
    host: HostName,
    target: Target,
    *,
    settings: SshSettings,
    config: Path,
    known_hosts: Path,
    replace: bool = False,
) -> list[TrustedKey]:
    """
    Fetch the keys of *host*, record them and return them.

    *config* is the ssh_config file that says how the host is reached. Nothing vouches
    for what is fetched: whoever calls this must show the fingerprints. To ask first,
    call ``scan`` and ``record``. Raises ConnectError, SettingsError, StateError, and
    HostKeyError if other keys are recorded and not to be *replaced*.
    """
    keys = scan(host, target, settings=settings, config=config)
    return record(host, target, keys, known_hosts=known_hosts, replace=replace)


def scan(
    host: HostName, target: Target, *, settings: SshSettings, config: Path
) -> list[HostKey]:
    """Return every key that the host offers; raises ConnectError, SettingsError."""
    route = find_route(target, settings, config)
    offered = (
        _offered(host, route, algorithm, settings.connect_timeout)
        for algorithm in ALGORITHMS
    )
    keys = [key for key in offered if key is not None]
    if not keys:
        message = f"{host}: {route.name} has no host key of a type that we know"
        raise ConnectError(message, host=host)
    return keys


def record(
    host: HostName,
    target: Target,
    keys: Iterable[HostKey],
    *,
    known_hosts: Path,
    replace: bool = False,
) -> list[TrustedKey]:
    """Record *keys* for *host*; errors as in ``trust``."""
    name = file.entry_name(target.address, target.port)
    known = file.known_keys(known_hosts, name)
    keys = list(keys)
    for key in keys:
        other = any(k.type == key.type for k in known.accepted)
        if key in known.revoked or (
            other and key not in known.accepted and not replace
        ):
            raise refused(host, name, known, key)
    new = keys if replace else [key for key in keys if key not in known.accepted]
    if set(known.accepted) != set(keys) and (new or replace):
        file.add(known_hosts, name, new, replace=replace)
    return [TrustedKey(key=key, recorded=key in known.accepted) for key in keys]


def record_next(
    target: Target, key: HostKey, *, known_hosts: Path, replace: bool = False
) -> None:
    """
    Record a *key* that *target* is to have, beside those that it has, or to *replace*.

    Raises StateError, and ValueError if it has been revoked.
    """
    name = file.entry_name(target.address, target.port)
    known = file.known_keys(known_hosts, name)
    if key in known.revoked:
        message = f"has been revoked for {name}: {key.label}"
        raise ValueError(message)
    if replace or key not in known.accepted:
        file.add(known_hosts, name, [key], replace=replace)


def _offered(
    host: HostName, route: Route, algorithm: str, timeout: float
) -> HostKey | None:
    """Return the key with which the host signs by *algorithm*, if it has one."""
    deadline = time.monotonic() + timeout
    sock = open_socket(host, route, deadline=deadline)
    with bounded(timeout, lambda: shut(sock)):
        transport = paramiko.Transport(sock)
        try:
            transport.get_security_options().key_types = (algorithm,)
            transport.start_client(timeout=timeout)
            return host_key(transport.get_remote_server_key())
        except paramiko.IncompatiblePeer:
            return None
        except (paramiko.SSHException, EOFError, OSError) as error:
            message = f"{host}: no SSH connection to {route.name}: {error}"
            raise ConnectError(message, host=host) from error
        finally:
            shut(sock)
            transport.close()
