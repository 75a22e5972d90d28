"""Who is let in, to whom we talk, and that OpenSSH sees it the same way."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import ConnectError, HostKeyError, SettingsError
from reconciler.model import HostName, Target
from reconciler.remote import (
    HostReader,
    public_key,
    record_next,
    trust,
)
from reconciler.remote.connections import Connections
from reconciler.remote.known_hosts import add, known_keys
from reconciler.settings import SshSettings
from tests.support.sshd import Sshd, connected, running

HOST = HostName("lufta")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(tmp_path_factory.mktemp("sshd")) as sshd:
        yield sshd


@pytest.fixture
def own_sshd(tmp_path: Path) -> Iterator[Sshd]:
    """One that the test may break."""
    with running(tmp_path / "sshd") as sshd:
        yield sshd


@pytest.fixture
def connections(sshd: Sshd) -> Iterator[Connections]:
    with connected(sshd) as connections:
        yield connections


def read(reader: HostReader, script: str) -> str:
    return reader.read(script, what="a look", deadline=60)


def arguments_of(sshd: Sshd, known_hosts: Path) -> dict[str, object]:
    """Return what `trust` is to be given beside host and target."""
    connections = Connections(sshd.settings(), known_hosts=known_hosts)
    config = connections.ssh_config(sshd.target)
    return {
        "settings": sshd.settings(),
        "config": config,
        "known_hosts": known_hosts,
    }


# --- who is let in, and to whom we talk ------------------------------------------


def test_a_key_that_is_not_let_in(sshd: Sshd, tmp_path: Path) -> None:
    identity = tmp_path / "other"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", identity],
        timeout=100,
        check=True,
    )
    settings = SshSettings(identity=identity)
    connections = Connections(settings, known_hosts=sshd.known_hosts)

    with pytest.raises(ConnectError, match=r"does not let \w+ in: .*ssh\.identity"):
        read(connections.reader(HOST, sshd.target), "true")


def test_an_identity_that_is_missing(sshd: Sshd, tmp_path: Path) -> None:
    settings = SshSettings(identity=tmp_path / "gone")
    connections = Connections(settings, known_hosts=sshd.known_hosts)

    with pytest.raises(SettingsError, match=r"ssh\.identity: .*/gone does not exist"):
        read(connections.reader(HOST, sshd.target), "true")


def test_a_host_may_have_an_identity_of_its_own(sshd: Sshd, tmp_path: Path) -> None:
    """In place of that for all, which is not even there."""
    own = str(sshd.settings().identity)
    settings = SshSettings(identity=tmp_path / "gone")
    connections = Connections(settings, known_hosts=sshd.known_hosts)

    reader = connections.reader(HOST, replace(sshd.target, identity=own))
    assert read(reader, "echo in").strip() == "in"

    reader = connections.reader(HOST, replace(sshd.target, identity=f"{own}-gone"))
    with pytest.raises(SettingsError, match=r"the host's identity: .*-gone does not"):
        read(reader, "true")


def test_an_unknown_host_is_refused_with_its_key(sshd: Sshd, tmp_path: Path) -> None:
    connections = Connections(sshd.settings(), known_hosts=tmp_path / "none")
    before = sshd.log().count("Accepted")

    with pytest.raises(HostKeyError, match=r"reconciler trust lufta$") as caught:
        read(connections.reader(HOST, sshd.target), "true")

    assert "ssh-ed25519 SHA256:" in str(caught.value)
    assert caught.value.host == "lufta"
    assert sshd.log().count("Accepted") == before


def test_a_changed_key_is_refused_with_both_keys(
    own_sshd: Sshd, tmp_path: Path
) -> None:
    known_hosts = tmp_path / "known_hosts"
    arguments = arguments_of(own_sshd, known_hosts)
    old = trust(HOST, own_sshd.target, **arguments)  # type: ignore[arg-type]
    own_sshd.stop()
    own_sshd.replace_keys()
    own_sshd.start()
    connections = Connections(own_sshd.settings(), known_hosts=known_hosts)
    reader = connections.reader(HOST, own_sshd.target)

    with pytest.raises(HostKeyError, match=r"has changed from .* intercepting") as seen:
        read(reader, "true")
    with pytest.raises(HostKeyError, match="has changed"):
        trust(HOST, own_sshd.target, **arguments)  # type: ignore[arg-type]
    new = trust(HOST, own_sshd.target, replace=True, **arguments)  # type: ignore[arg-type]

    assert old[0].fingerprint in str(seen.value)
    assert new[0].fingerprint in str(seen.value)
    assert read(reader, "echo trusted") == "trusted\n"
    connections.close()
    accepted = known_keys(known_hosts, f"[127.0.0.1]:{own_sshd.port}").accepted
    assert accepted == tuple(key.key for key in new)


def test_trust_records_every_key_and_says_which_are_new(
    sshd: Sshd, tmp_path: Path
) -> None:
    known_hosts = tmp_path / "known_hosts"
    arguments = arguments_of(sshd, known_hosts)
    first = trust(HOST, sshd.target, **arguments)  # type: ignore[arg-type]
    again = trust(HOST, sshd.target, **arguments)  # type: ignore[arg-type]

    assert [key.type for key in first] == ["ssh-ed25519", "ecdsa-sha2-nistp256"]
    assert not any(key.recorded for key in first)
    assert all(key.recorded for key in again)
    assert len(known_hosts.read_text().splitlines()) == 2
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", sshd.directory / "host_ed25519.pub"],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert first[0].fingerprint in shown.stdout


def test_trusting_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = Target(address="127.0.0.1", port=server.getsockname()[1])
        settings = SshSettings(connect_timeout=0.3)

        with pytest.raises(ConnectError, match="lufta: "):
            trust(
                HOST,
                target,
                settings=settings,
                config=Connections(settings, known_hosts=tmp_path / "known").ssh_config(
                    target
                ),
                known_hosts=tmp_path / "known",
            )

    assert not (tmp_path / "known").exists()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_one_recorded_key_is_enough(sshd: Sshd, tmp_path: Path, kind: str) -> None:
    """The host shows a key of the type that we know, not the one it prefers."""
    known_hosts = tmp_path / "known_hosts"
    public = (sshd.directory / f"host_{kind}.pub").read_text()
    known_hosts.write_text(f"[{sshd.address}]:{sshd.port} {public}")
    subprocess.run(["ssh-keygen", "-H", "-f", known_hosts], timeout=100, check=True)
    connections = Connections(sshd.settings(), known_hosts=known_hosts)

    assert read(connections.reader(HOST, sshd.target), "echo in") == "in\n"
    connections.close()


def test_a_revoked_key_is_refused(sshd: Sshd, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    name = f"[{sshd.address}]:{sshd.port}"
    keys = known_keys(sshd.known_hosts, name).accepted
    add(known_hosts, name, keys, replace=False)
    lines = known_hosts.read_text()
    known_hosts.write_text(
        lines + "".join(f"@revoked {x}\n" for x in lines.splitlines())
    )
    connections = Connections(sshd.settings(), known_hosts=known_hosts)

    with pytest.raises(HostKeyError, match="has been revoked"):
        read(connections.reader(HOST, sshd.target), "true")


def test_a_key_that_is_to_come_is_recorded_beforehand(own_sshd: Sshd) -> None:
    """Nobody could confirm a system with other host keys, since nobody knew them."""
    connections = Connections(own_sshd.settings(), known_hosts=own_sshd.known_hosts)
    reader = connections.reader(HOST, own_sshd.target)
    own_sshd.stop()
    known = own_sshd.known_hosts.read_text()
    own_sshd.replace_keys()
    own_sshd.start()
    own_sshd.known_hosts.write_text(known)  # it was told of the new ones
    with pytest.raises(HostKeyError, match="has changed"):
        read(reader, "true")
    key = public_key((own_sshd.directory / "host_ed25519.pub").read_text())

    for _ in range(2):
        record_next(own_sshd.target, key, known_hosts=own_sshd.known_hosts)

    assert read(reader, "echo in") == "in\n"
    connections.close()
    name = f"[{own_sshd.address}]:{own_sshd.port}"
    accepted = known_keys(own_sshd.known_hosts, name).accepted
    assert len(accepted) == 3
    assert key in accepted


def test_a_key_that_was_revoked_is_not_to_come(sshd: Sshd, tmp_path: Path) -> None:
    text = (sshd.directory / "host_ed25519.pub").read_text()
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"@revoked * {text}")

    with pytest.raises(ValueError, match="has been revoked"):
        record_next(sshd.target, public_key(text), known_hosts=known_hosts)


def test_another_way_to_a_host_is_trusted_for_its_keys(
    sshd: Sshd, tmp_path: Path
) -> None:
    """It was known at another port, where it is not any more."""
    known_hosts = tmp_path / "known_hosts"
    former = replace(sshd.target, port=1)
    keys = known_keys(sshd.known_hosts, f"[{sshd.address}]:{sshd.port}").accepted
    add(known_hosts, f"[{sshd.address}]:1", keys, replace=False)
    connections = Connections(sshd.settings(), known_hosts=known_hosts)
    with pytest.raises(HostKeyError, match="is unknown"):
        read(connections.reader(HOST, sshd.target), "true")

    connections.introduce(former, sshd.target)

    assert read(connections.reader(HOST, sshd.target), "echo in") == "in\n"
    connections.close()


def test_what_is_known_of_an_address_is_not_widened(sshd: Sshd, tmp_path: Path) -> None:
    """Another host was there, and its key is recorded: a person has to decide."""
    known_hosts = tmp_path / "known_hosts"
    key = public_key((sshd.directory / "identity.pub").read_text())
    name = f"[{sshd.address}]:{sshd.port}"
    add(known_hosts, name, [key], replace=False)
    add(
        known_hosts,
        f"[{sshd.address}]:1",
        known_keys(sshd.known_hosts, name).accepted,
        replace=False,
    )
    connections = Connections(sshd.settings(), known_hosts=known_hosts)

    connections.introduce(replace(sshd.target, port=1), sshd.target)

    with pytest.raises(HostKeyError, match="has changed"):
        read(connections.reader(HOST, sshd.target), "true")


def test_two_ways_to_one_host_are_two_connections(sshd: Sshd) -> None:
    """A look by another thread must not cut that of an attempt."""
    with connected(sshd) as connections:
        away = replace(sshd.target, port=1)
        connections.go_by(HOST, sshd.target)
        assert read(connections.reader(HOST, away), "echo in") == "in\n"
        with ThreadPoolExecutor(1) as other, pytest.raises(ConnectError):
            other.submit(lambda: read(connections.reader(HOST, away), "true")).result()

        assert sshd.target == connections.way_to(HOST, away)
        connections.go_by(HOST, None)
        with pytest.raises(ConnectError):
            read(connections.reader(HOST, away), "true")


# --- beside OpenSSH --------------------------------------------------------------


def test_openssh_gets_there_with_our_options(
    connections: Connections, sshd: Sshd
) -> None:
    done = ssh(connections.ssh_config(sshd.target), sshd.address, "echo there")

    assert (done.returncode, done.stdout) == (0, "there\n")


def test_openssh_refuses_whom_we_refuse(sshd: Sshd, tmp_path: Path) -> None:
    connections = Connections(sshd.settings(), known_hosts=tmp_path / "none")

    done = ssh(connections.ssh_config(sshd.target), sshd.address, "true")

    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


@pytest.mark.parametrize("way", ["HostName {address}", "ProxyCommand {relay}"])
def test_an_alias_leads_both_to_the_host(sshd: Sshd, tmp_path: Path, way: str) -> None:
    relay = f"{sys.executable} {tmp_path}/relay.py {sshd.address} %p"
    (tmp_path / "relay.py").write_text(RELAY)
    config = tmp_path / "config"
    line = way.format(address=sshd.address, relay=relay)
    config.write_text(f"Host behind\n  {line}\n")
    target = replace(sshd.target, address="behind")
    known_hosts = tmp_path / "known_hosts"
    name = f"[{sshd.address}]:{sshd.port}"
    keys = known_keys(sshd.known_hosts, name).accepted
    add(known_hosts, f"[behind]:{sshd.port}", keys, replace=False)
    connections = Connections(sshd.settings(), known_hosts=known_hosts, account=config)

    assert read(connections.reader(HOST, target), "echo in") == "in\n"
    assert ssh(connections.ssh_config(target), "behind", "echo in").stdout == "in\n"
    connections.close()


RELAY = """\
import os, socket, sys, threading
far = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def copy(read, write):
    while data := read():
        write(data)
def up():
    copy(lambda: os.read(0, 65536), far.sendall)
    far.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
copy(lambda: far.recv(65536), lambda data: os.write(1, data))
"""


def ssh(config: Path, address: str, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ssh", "-F", config, address, command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
