"""
Every client that reaches hosts gets there, by whatever way it is.

Three programs do: Fabric looks and changes, Nix copies, ssh(1) is for people. None of
them may succeed where another one fails.
"""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from reconciler.errors import ConnectError, CopyError, HostKeyError, ReconcilerError
from reconciler.model import Desired, HostName, StorePath, Target
from reconciler.remote.connections import Connections
from reconciler.remote.known_hosts import add, known_keys
from reconciler.settings import SshSettings
from tests.support.sshd import OTHER_USER, Sshd, running
from tests.support.wait import wait_until

HOST = HostName("lufta")
NAME = "host.example"
DEADLINE = 30.0

pytestmark = pytest.mark.skipif(
    shutil.which("nix-store") is None, reason="there is no Nix here"
)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(tmp_path_factory.mktemp("sshd")) as sshd:
        yield sshd


@pytest.fixture(scope="module")
def ip6(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    if not socket.has_ipv6:
        pytest.skip("there is no IPv6 here")
    with running(tmp_path_factory.mktemp("sshd6"), address="::1") as sshd:
        yield sshd


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> StorePath:
    """Return a path in the store of this machine, which is the host's as well."""
    file = tmp_path_factory.mktemp("path") / "there"
    file.write_text("there\n")
    done = subprocess.run(
        ["nix-store", "--add", file],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    return StorePath(done.stdout.strip())


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to a host, and what is set up for it."""

    target: Target
    settings: SshSettings
    known_hosts: Path
    account: Path  # the account's own ssh_config
    folder: Path

    def connections(self) -> Connections:
        """Return what reaches hosts by it."""
        return Connections(
            self.settings,
            known_hosts=self.known_hosts,
            folder=self.folder,
            account=self.account,
        )


def way_to(sshd: Sshd, folder: Path, *, address: str = "", account: str = "") -> Way:
    """Return a way to *sshd*, under another *address* if there is one."""
    folder.mkdir(exist_ok=True)
    target = replace(sshd.target, address=address or sshd.address)
    keys = known_keys(sshd.known_hosts, f"[{sshd.address}]:{sshd.port}").accepted
    known_hosts = folder / "known_hosts"
    add(known_hosts, f"[{target.address}]:{target.port}", keys, replace=False)
    (folder / "account").write_text(account)
    return Way(
        target=target,
        settings=sshd.settings(),
        known_hosts=known_hosts,
        account=folder / "account",
        folder=folder / "ssh",
    )


@contextlib.contextmanager
def agent(sock: Path, identity: Path) -> Iterator[Path]:
    """Run an ssh-agent that has the key *identity*."""
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", sock],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(sock.exists, DEADLINE, "the agent")
        subprocess.run(
            ["ssh-add", "-q", identity],
            env={**os.environ, "SSH_AUTH_SOCK": str(sock)},
            timeout=DEADLINE,
            check=True,
        )
        yield sock
    finally:
        process.terminate()
        process.wait(DEADLINE)


# --- the clients -----------------------------------------------------------------


def by_fabric(way: Way, there: StorePath) -> None:
    connections = way.connections()
    try:
        reader = connections.reader(HOST, way.target)
        assert reader.read(f"ls {there}", what="a look", deadline=DEADLINE)
    finally:
        connections.close()


def by_nix(way: Way, there: StorePath) -> None:
    desired = Desired(
        host=HOST, toplevel=there, derivation=there, units={}, target=way.target
    )
    way.connections().try_copying(desired, there, deadline=DEADLINE)


def by_ssh(way: Way, there: StorePath) -> None:
    line = f"ls {there}"
    done = subprocess.run(
        way.connections().shell(HOST, way.target, line, terminal=False),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    if done.returncode:
        raise ConnectError(done.stderr, host=HOST)


CLIENTS = (by_fabric, by_nix, by_ssh)

Client = Callable[[Way, StorePath], None]

clients = pytest.mark.parametrize("client", CLIENTS)


# --- the ways --------------------------------------------------------------------


@clients
def test_another_port(
    sshd: Sshd, tmp_path: Path, there: StorePath, client: Client
) -> None:
    """
    Brackets in a name of known_hosts came quoted for Nix, which knew no quotes.

    Nothing listens at port 22 here, so each of them must have heard of the other one.
    """
    client(way_to(sshd, tmp_path), there)


@clients
def test_ip6(ip6: Sshd, tmp_path: Path, there: StorePath, client: Client) -> None:
    client(way_to(ip6, tmp_path), there)


@clients
def test_folders_with_blanks(
    sshd: Sshd, tmp_path: Path, there: StorePath, client: Client
) -> None:
    """Of the state, of known_hosts, and of the identity, which has a % besides."""
    folder = tmp_path / "a state  50% full"
    way = way_to(sshd, folder)
    identity = folder / "my key"
    shutil.copy(sshd.identity, identity)

    client(replace(way, settings=SshSettings(identity=identity)), there)


@clients
def test_another_user(
    sshd: Sshd, tmp_path: Path, there: StorePath, client: Client
) -> None:
    """What makes it root here marks a file, so that we see that it was asked."""
    mark = tmp_path / "asked"
    become = tmp_path / "become"
    become.write_text(f'#!/bin/sh\ntouch {mark}\nexec "$@"\n')
    become.chmod(0o755)
    way = way_to(sshd, tmp_path)
    target = replace(way.target, user=OTHER_USER, escalation=(str(become),))

    client(replace(way, target=target), there)

    assert f"Accepted publickey for {OTHER_USER}" in sshd.log()
    assert mark.exists() is (client is not by_ssh)


@clients
def test_a_jump(
    sshd: Sshd, ip6: Sshd, tmp_path: Path, there: StorePath, client: Client
) -> None:
    """Over another sshd, at another port, known to the account only."""
    jump = tmp_path / "known"
    jump.write_bytes(ip6.known_hosts.read_bytes())
    before = ip6.log().count("Accepted publickey")
    account = (
        f"Host {NAME}\n  HostName {sshd.address}\n  ProxyJump gate\n"
        f"Host gate\n  HostName ::1\n  Port {ip6.port}\n"
        f"  IdentityFile {ip6.identity}\n  UserKnownHostsFile {jump}\n"
    )

    client(way_to(sshd, tmp_path, address=NAME, account=account), there)

    assert ip6.log().count("Accepted publickey") == before + 1


@clients
def test_an_identity_of_the_account(
    sshd: Sshd, tmp_path: Path, there: StorePath, client: Client
) -> None:
    """The settings name none, and of those in ssh_config the first one is missing."""
    account = f"IdentityFile /gone/key\nIdentityFile {sshd.identity}\n"
    way = way_to(sshd, tmp_path, account=account)

    client(replace(way, settings=SshSettings()), there)


@clients
def test_an_agent_of_the_account(
    sshd: Sshd,
    tmp_path: Path,
    there: StorePath,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not the one of the environment, which has no key that is let in."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "none"))
    with agent(tmp_path / "agent", sshd.identity) as sock:
        account = f"IdentityAgent {sock}\nIdentityFile {sshd.identity}.pub\n"
        account += "IdentitiesOnly yes\n"
        way = way_to(sshd, tmp_path, account=account)

        client(replace(way, settings=SshSettings()), there)


@clients
def test_an_agent_has_only_the_keys_that_are_asked_for(
    sshd: Sshd, tmp_path: Path, there: StorePath, client: Client
) -> None:
    with agent(tmp_path / "agent", sshd.identity) as sock:
        account = f"IdentityAgent {sock}\nIdentitiesOnly yes\nIdentityFile /gone/key\n"
        way = way_to(sshd, tmp_path, account=account)

        with pytest.raises(ReconcilerError, match=r"let \w+ in|Permission denied"):
            client(replace(way, settings=SshSettings()), there)


@clients
def test_nobody_is_let_in_by_what_the_account_trusts(
    sshd: Sshd, tmp_path: Path, there: StorePath, client: Client
) -> None:
    """Each of these lets ssh(1) accept a host that we do not know."""
    line = f"{sshd.known_hosts.read_text()}".splitlines()[0]
    account = (
        "StrictHostKeyChecking no\nNoHostAuthenticationForLocalhost yes\n"
        f"GlobalKnownHostsFile {sshd.known_hosts}\n"
        f'KnownHostsCommand /bin/echo "{line}"\n'
    )
    way = way_to(sshd, tmp_path, account=account)
    way.known_hosts.write_text("")

    with pytest.raises((HostKeyError, CopyError, ConnectError), match=r"(?i)host key"):
        client(way, there)


@clients
def test_nothing_of_the_account_comes_between(
    sshd: Sshd, tmp_path: Path, there: StorePath, client: Client
) -> None:
    """A terminal, a command, a shared connection: each of them breaks copying."""
    account = (
        "RequestTTY force\nRemoteCommand false\nControlMaster auto\n"
        f"ControlPath {tmp_path}/shared\nStdinNull yes\nPort 1\nUser nobody\n"
        "LocalForward 127.0.0.1:1 127.0.0.1:1\nSessionType none\n"
    )

    client(way_to(sshd, tmp_path, account=account), there)

    assert not (tmp_path / "shared").exists()
