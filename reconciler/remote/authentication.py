"""
As whom we come: the keys that are tried, in the order in which ssh(1) tries them.

Paramiko's own way stops at the first identity that is missing and asks the agent of
the environment only.
"""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import paramiko
from paramiko.auth_strategy import AuthSource, AuthStrategy, InMemoryPrivateKey

from reconciler.remote.route import Route

AGENT_DEADLINE = 5.0
"""Seconds for each answer of an agent, which may wait for a person."""


class _Agent(paramiko.agent.AgentSSH):  # type: ignore[misc]
    """The agent at one socket; Paramiko's own asks that of the environment."""

    def __init__(self, path: str) -> None:
        super().__init__()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(AGENT_DEADLINE)
        try:
            sock.connect(path)
            self._connect(sock)
        except BaseException:
            sock.close()
            raise

    def close(self) -> None:
        """Let go of the agent."""
        self._close()


class Keys(AuthStrategy):  # type: ignore[misc]
    """The keys of one route."""

    def __init__(self, route: Route) -> None:
        super().__init__(ssh_config=None)
        self._route = route
        self.tried: list[str] = []  # for people

    def get_sources(self) -> Iterator[AuthSource]:
        """Yield the agent's keys for our identities, then the files, then the rest."""
        with self._agent() as keys:
            named = {blob for path in self._route.identities for blob in _public(path)}
            first = [key for key in keys if key.asbytes() in named]
            for key in first:
                yield self._source(key, "of the agent")
            yield from self._files()
            if not self._route.only_these:
                for key in keys:
                    if key not in first:
                        yield self._source(key, "of the agent")

    def authenticate(self, transport: paramiko.Transport) -> object:
        """Try them; raises AuthenticationException that says which were tried."""
        try:
            result = super().authenticate(transport)
        except paramiko.AuthenticationException as error:
            tried = ", ".join(self.tried) or "none: no identity was found"
            message = f"keys tried: {tried}"
            raise paramiko.AuthenticationException(message) from error
        if not transport.is_authenticated():
            message = "it asks for more than a key"
            raise paramiko.AuthenticationException(message)
        return result

    def _source(self, key: paramiko.PKey, where: str) -> AuthSource:
        self.tried.append(f"{key.get_name()} {key.fingerprint} {where}")
        return InMemoryPrivateKey(self._route.user, key)

    def _files(self) -> Iterator[AuthSource]:
        for path in filter(Path.is_file, self._route.identities):
            try:
                key = paramiko.PKey.from_path(path)
            except Exception as error:  # noqa: BLE001 -- of cryptography, in many kinds
                # A public key whose private one the agent has; one with a passphrase.
                self.tried.append(f"{path}, which cannot be used: {_reason(error)}")
            else:
                yield self._source(key, f"in {path}")

    @contextlib.contextmanager
    def _agent(self) -> Iterator[tuple[paramiko.PKey, ...]]:
        agent = None
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            # None that answers is none, for ssh too.
            agent = _Agent(self._route.agent) if self._route.agent else None
        if agent is None:
            yield ()
            return
        try:
            yield agent.get_keys()
        finally:
            agent.close()


def _public(identity: Path) -> Iterator[bytes]:
    """Yield the public keys that belong to *identity*, or that it is itself."""
    for path in (Path(f"{identity}.pub"), identity, Path(f"{identity}-cert.pub")):
        with contextlib.suppress(OSError, ValueError, paramiko.SSHException):
            yield paramiko.PublicBlob.from_string(path.read_text("utf-8")).key_blob


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
