"""
Opening one SSH connection, in bounded time and to nobody but the host itself.

Fabric accepts any host key, rounds deadlines down to whole seconds and reads
configuration files of its own; each of these is answered here.
"""

import contextlib
import logging
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fabric
import paramiko

from reconciler.errors import ConnectError, HostKeyError, ReconcilerError
from reconciler.model import HostName
from reconciler.remote import tcp
from reconciler.remote.authentication import Keys
from reconciler.remote.known_hosts import HostKey, KnownKeys, known_keys
from reconciler.remote.route import Route

IDLE_CHECK = 60.0
"""Seconds after which an idle connection's thread looks around.

Paramiko's own 0.1 s costs ten wake-ups a second for every host, and there is nothing to
see: what arrives wakes it, and so does who closes the connection.
"""
PROXY_IDLE_CHECK = 5.0
"""The same where it has to send signs of life, since the kernel sends none."""

# What they log is in our errors as well; their traces are for their authors.
for _name in ("paramiko", "fabric", "invoke"):
    _logger = logging.getLogger(_name)
    _logger.addHandler(logging.NullHandler())
    _logger.propagate = False
    _logger.setLevel(logging.CRITICAL)


class _KeyRefusedError(paramiko.SSHException):  # type: ignore[misc]
    """The host offered a key that is not recorded for it."""

    def __init__(self, key: HostKey) -> None:
        self.key = key
        super().__init__("host key refused")


class _OnlyKnown(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """
    Accept the keys that are recorded for the host and no others.

    Paramiko is told of no known hosts, so it asks here about every key: its own
    look-up keeps one key of each type only and does not know ``*``, ``!`` and
    ``@revoked``.
    """

    def __init__(self, keys: KnownKeys) -> None:
        self.keys = keys

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        del client, hostname
        if host_key(key) not in self.keys.accepted:
            raise _KeyRefusedError(host_key(key))

    def transport(self, sock: socket.socket, **options: object) -> paramiko.Transport:
        """Ask for a type of key that is recorded: a host has several and shows one."""
        transport = paramiko.Transport(sock, **options)
        security = transport.get_security_options()
        known = {key.type for key in self.keys.accepted}
        security.key_types = sorted(
            security.key_types, key=lambda name: _key_type(name) not in known
        )
        return transport


def _key_type(algorithm: str) -> str:
    """Return the type of key that signs with *algorithm* (RFC 8332 for RSA)."""
    return "ssh-rsa" if algorithm.startswith("rsa-sha2-") else algorithm


def host_key(key: paramiko.PKey) -> HostKey:
    """Return Paramiko's *key* as ours."""
    return HostKey(type=key.get_name(), blob=key.asbytes())


@contextlib.contextmanager
def bounded(seconds: float, stop: Callable[[], None]) -> Iterator[threading.Event]:
    """
    Call *stop* from another thread if the body takes longer than *seconds*.

    Some of Paramiko's waits know no deadline (the answer to an exec request, a
    full send buffer): only closing the socket under them ends them. Yields an
    event that tells whether that happened.
    """
    struck = threading.Event()

    def strike() -> None:
        struck.set()
        stop()

    timer = threading.Timer(max(0.0, seconds), strike)
    timer.daemon = True
    timer.start()
    try:
        yield struck
    finally:
        timer.cancel()


def open_socket(host: HostName, route: Route, *, deadline: float) -> socket.socket:
    """
    Connect to the host's address, or start the command that speaks for it.

    *deadline* is a reading of ``time.monotonic``. It bounds everything but the
    resolver, which resolv.conf(5) bounds. Raises ConnectError.
    """
    if route.proxy:
        return _open_proxy(route.proxy)
    try:
        return tcp.connect(
            route.address, route.port, family=route.family, deadline=deadline
        )
    except OSError as error:
        message = f"{host}: cannot connect to {route.name}: {_reason(error)}"
        raise ConnectError(message, host=host) from error


def _open_proxy(command: str) -> socket.socket:
    """
    Start a ProxyCommand, as ssh_config(5) says, and return a socket to it.

    Paramiko's own ProxyCommand spins when the command ends.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        argv = ["/bin/sh", "-c", f"exec {command}"]
        child = subprocess.Popen(  # the command ends when the socket is closed
            argv,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
        )
    threading.Thread(target=child.wait, daemon=True).start()
    return ours


def open_connection(
    host: HostName, route: Route, *, known_hosts: Path, timeout: float
) -> fabric.Connection:
    """
    Return an open connection to *host* after at most *timeout* seconds.

    Raises ConnectError, HostKeyError, StateError.
    """
    deadline = time.monotonic() + timeout
    policy = _OnlyKnown(known_keys(known_hosts, route.name))
    sock = open_socket(host, route, deadline=deadline)
    connection = _prepare(route, sock, policy, timeout)
    with bounded(deadline - time.monotonic(), lambda: shut(sock)) as late:
        try:
            connection.open()
        except (paramiko.SSHException, EOFError, OSError) as error:
            connection.client.close()
            shut(sock)
            if late.is_set() or time.monotonic() >= deadline:
                message = f"{host}: {route.name} did not answer within {timeout:g} s"
                raise ConnectError(message, host=host) from error
            raise _translated(host, route, policy.keys, error) from error
    sock.settimeout(PROXY_IDLE_CHECK if route.proxy else IDLE_CHECK)
    if route.proxy:
        connection.transport.set_keepalive(tcp.KEEPALIVE_IDLE)
    return connection


def shut(sock: socket.socket) -> None:
    """Close *sock* so that whoever waits on it wakes at once."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _prepare(
    route: Route, sock: socket.socket, policy: _OnlyKnown, timeout: float
) -> fabric.Connection:
    # Each of these bounds one phase; the watchdog of open_connection bounds them all,
    # and is to strike first, since it knows what to say.
    backstop = timeout + 1.0
    arguments = {
        "sock": sock,
        "timeout": backstop,
        "banner_timeout": backstop,
        "auth_timeout": backstop,
        "channel_timeout": timeout,
        "auth_strategy": Keys(route),
        "transport_factory": policy.transport,
    }
    connection = fabric.Connection(
        route.address,
        user=route.user,
        port=route.port,
        # Lazy, and with an empty ssh_config: no ~/.fabric.yaml, no FABRIC_* variables.
        # Not shared: a Connection writes into its configuration.
        config=fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig()),
        gateway=False,  # the socket is already there
        forward_agent=False,
        connect_kwargs=arguments,
    )
    connection.client.set_missing_host_key_policy(policy)
    return connection


def _translated(
    host: HostName, route: Route, keys: KnownKeys, error: Exception
) -> ReconcilerError:
    """Return the error of ours that says what *error* means."""
    if isinstance(error, _KeyRefusedError):
        return refused(host, route.name, keys, error.key)
    if isinstance(error, paramiko.AuthenticationException):
        message = f"{host}: {route.name} does not let {route.user} in"
        hint = "is the public key of ssh.identity among the authorized keys there?"
        return ConnectError(f"{message}: {_reason(error)}; {hint}", host=host)
    way = f" through the command {route.proxy}" if route.proxy else ""
    message = f"{host}: no SSH connection to {route.name}{way}: {_reason(error)}"
    return ConnectError(message, host=host)


def refused(
    host: HostName, name: str, keys: KnownKeys, offered: HostKey
) -> HostKeyError:
    """Return the error for a key that is not recorded under *name*."""
    known = ", ".join(key.label for key in keys.accepted)
    if offered in keys.revoked:
        message = f"{host}: the host key of {name} has been revoked: {offered.label}"
    elif known:
        message = (
            f"{host}: the host key of {name} has changed from {known} "
            f"to {offered.label}: somebody may be intercepting the connection, or "
            "the host was installed anew; if you know that it was, run: "
            f"reconciler trust --replace {host}"
        )
    else:
        message = (
            f"{host}: the host key of {name} is unknown: {offered.label}; "
            f"compare it with the host's own and run: reconciler trust {host}"
        )
    return HostKeyError(message, host=host)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return str(error) or type(error).__name__
