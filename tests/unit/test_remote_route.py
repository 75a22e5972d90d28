"""One way to a host, for Fabric and for OpenSSH alike."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from socket import AF_INET6

import pytest

from reconciler.errors import SettingsError
from reconciler.model import Target
from reconciler.remote.route import Route, find_route
from reconciler.remote.ssh_config import config_text, write
from reconciler.settings import SshSettings

KNOWN_HOSTS = Path("/state/known hosts")
LUFTA = Target(address="lufta", port=2222, user="deploy")


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """Stands for the ssh_config files of the account."""
    return tmp_path / "config"


def written(target: Target, settings: SshSettings, account: Path) -> Path:
    """Return the file that says how *target* is reached."""
    text = config_text(target, settings, known_hosts=KNOWN_HOSTS, account=account)
    return write(account.parent / "ssh", text)


def route_of(target: Target, settings: SshSettings, account: Path) -> Route:
    return find_route(target, settings, written(target, settings, account))


def ask_openssh(
    target: Target, settings: SshSettings, account: Path
) -> dict[str, list[str]]:
    """Return what ssh(1) itself makes of our file."""
    done = subprocess.run(
        ["ssh", "-G", "-F", written(target, settings, account), target.address],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    return found


HOSTILE = """\
Host *
  User somebody
  Port 1
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  GlobalKnownHostsFile /dev/null
  HostKeyAlias other
  ForwardAgent yes
  LocalForward 8080 localhost:80
  ConnectTimeout 1000
"""


def test_ours_overrides_what_decides_trust(account: Path) -> None:
    account.write_text(HOSTILE)
    identity = account.with_name("an identity 50%")
    identity.touch()
    settings = SshSettings(identity=identity, connect_timeout=2.5)

    found = ask_openssh(LUFTA, settings, account)
    route = route_of(LUFTA, settings, account)

    assert (route.user, route.port, route.name) == ("deploy", 2222, "[lufta]:2222")
    assert (route.identities, route.agent) == ((identity,), "")
    assert found["user"] == ["deploy"]
    assert found["port"] == ["2222"]
    assert found["hostkeyalias"] == ["[lufta]:2222"]
    assert found["stricthostkeychecking"] == ["true"]
    assert found["userknownhostsfile"] == [str(KNOWN_HOSTS)]
    assert found["globalknownhostsfile"] == ["none"]
    assert found["identityfile"] == [str(identity).replace("%", "%%")]
    assert found["identitiesonly"] == ["yes"]
    assert found["batchmode"] == ["yes"]
    assert found["forwardagent"] == ["no"]
    assert found["clearallforwardings"] == ["yes"]
    assert found["connecttimeout"] == ["3"]
    assert "localforward" not in found


ALIASES = """\
Host lufta
  HostName 10.0.0.7
Host keanu
  ProxyCommand relay --user %r %h:%p
Host chrysalis
  ProxyJump me@gate:2200
Host far
  ProxyJump gate,inner
Host near
  ProxyJump none
Host *
  IdentityFile /keys/%r-key
"""


@pytest.mark.parametrize("name", ["lufta", "keanu", "other", "near"])
def test_aliases_mean_the_same_to_both(account: Path, name: str) -> None:
    account.write_text(ALIASES)
    target = Target(address=name, port=2222, user="deploy")

    found = ask_openssh(target, SshSettings(), account)
    route = route_of(target, SshSettings(), account)

    assert [route.address] == found["hostname"]
    assert route.name == f"[{name}]:2222"
    assert route.agent == os.environ.get("SSH_AUTH_SOCK", "")


def test_a_proxy_command_gets_our_port_and_user(account: Path) -> None:
    account.write_text(ALIASES)
    target = Target(address="keanu", port=2222, user="deploy")

    route = route_of(target, SshSettings(), account)

    assert route.proxy == "relay --user deploy keanu:2222"


@pytest.mark.parametrize(
    ("name", "jump"),
    [
        ("chrysalis", "-W [chrysalis]:22 -- ssh://me@gate:2200"),
        ("far", "-J gate -W [far]:22 -- ssh://inner"),
    ],
)
def test_openssh_makes_the_jump(account: Path, name: str, jump: str) -> None:
    account.write_text(ALIASES)

    target = Target(address=name)

    route = route_of(target, SshSettings(), account)

    expected = f"ssh -F {written(target, SshSettings(), account)} {jump}"
    assert route.proxy.replace("'", "") == expected


def test_a_jump_host_is_reached_by_the_account_alone(account: Path) -> None:
    """Our file is handed on to the ssh that jumps: our port is not the jump host's."""
    account.write_text("Host lufta\n  ProxyJump gate\nHost gate\n  User me\n")
    config = written(LUFTA, SshSettings(), account)

    done = subprocess.run(
        ["ssh", "-G", "-F", config, "gate"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )

    told = done.stdout.splitlines()
    assert {"port 22", "user me", "batchmode yes"} <= set(told)
    assert not any("known hosts" in line for line in told)


def test_no_jump_is_none(account: Path) -> None:
    account.write_text(ALIASES)

    assert route_of(Target(address="near"), SshSettings(), account).proxy == ""


def test_included_files_count(account: Path) -> None:
    extra = account.with_name("extra.d")
    extra.mkdir()
    (extra / "10-lufta.conf").write_text("Host lufta\n  HostName 10.0.0.9\n")
    account.write_text(f"Include {extra}/*.conf\n{ALIASES}")

    assert route_of(LUFTA, SshSettings(), account).address == "10.0.0.9"
    assert ask_openssh(LUFTA, SshSettings(), account)["hostname"] == ["10.0.0.9"]


def test_no_file_is_no_opinion(account: Path) -> None:
    assert route_of(LUFTA, SshSettings(), account).address == "lufta"


@pytest.mark.parametrize("line", ["Match nonsense", "Hostname", "NoSuchOption yes"])
def test_a_file_that_ssh_cannot_read_is_named(account: Path, line: str) -> None:
    account.write_text(f"Host *\n{line}\n")

    with pytest.raises(
        SettingsError, match=r"ssh_config, read for lufta: .*/config"
    ) as caught:
        route_of(LUFTA, SshSettings(), account)

    assert "line 2" in str(caught.value)


def test_matches_and_tokens_are_read_as_ssh_reads_them(account: Path) -> None:
    """A command decides; %n is the name that was asked for, %h the one it got."""
    account.write_text(
        'Match originalhost lufta exec "test %n = lufta"\n  HostName %h.example.org\n'
        "  ProxyCommand relay %n %h %p %r %k %%\n"
    )

    route = route_of(LUFTA, SshSettings(), account)

    assert route.address == "lufta.example.org"
    assert route.proxy == "relay lufta lufta.example.org 2222 deploy [lufta]:2222 %"


def test_identities_that_are_missing_are_passed_over(account: Path) -> None:
    folder = account.parent
    for name in ("lufta-key", "id.pub"):
        (folder / name).touch()
    account.write_text(
        f'IdentityFile /gone\nIdentityFile "{folder}/%n-key"\n'
        f"IdentityFile {folder}/id\n"
    )

    route = route_of(LUFTA, SshSettings(), account)

    # Of the last one an agent may have the private key.
    assert route.identities == (folder / "lufta-key", folder / "id")


@pytest.mark.parametrize(
    ("line", "socket"),
    [
        ("", "/run/agent"),
        ("IdentityAgent SSH_AUTH_SOCK", "/run/agent"),
        ("IdentityAgent none", ""),
        ("IdentityAgent /run/%r.sock", "/run/deploy.sock"),
        ("IdentityAgent $OTHER", "/run/other"),
        ("IdentityAgent ${OTHER}/s", "/run/other/s"),
    ],
)
def test_the_agent_is_the_one_that_ssh_asks(
    account: Path, monkeypatch: pytest.MonkeyPatch, line: str, socket: str
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setenv("OTHER", "/run/other")
    account.write_text(f"{line}\n")

    assert route_of(LUFTA, SshSettings(), account).agent == socket


def test_an_address_is_of_the_family_that_is_asked_for(account: Path) -> None:
    account.write_text("AddressFamily inet6\n")

    assert route_of(LUFTA, SshSettings(), account).family == AF_INET6


def test_a_command_that_passes_the_socket_on_is_refused(account: Path) -> None:
    account.write_text("ProxyCommand relay\nProxyUseFdpass yes\n")

    with pytest.raises(SettingsError, match="lufta: ProxyUseFdpass is not supported"):
        route_of(LUFTA, SshSettings(), account)


def test_a_path_that_ssh_cannot_be_told_is_refused(account: Path) -> None:
    settings = SshSettings(identity=Path('/a"b'))

    with pytest.raises(SettingsError, match="a quote or a line end"):
        written(LUFTA, settings, account)


def test_a_file_stays_and_goes_once_nobody_was_given_it(account: Path) -> None:
    first = written(LUFTA, SshSettings(), account)
    other = written(replace(LUFTA, port=2223), SshSettings(), account)
    assert written(LUFTA, SshSettings(), account) == first != other
    assert first.stat().st_mode & 0o077 == 0

    long_ago = first.stat().st_mtime - 8 * 86400
    for path in (first, other):
        os.utime(path, (long_ago, long_ago))
    written(LUFTA, SshSettings(), account)  # it is given out again
    written(replace(LUFTA, port=2224), SshSettings(), account)

    assert first.exists()
    assert not other.exists()


@pytest.mark.parametrize(
    "target",
    [
        replace(LUFTA, user="root\n  ProxyCommand x"),
        replace(LUFTA, address="lufta\n  ProxyCommand x"),
    ],
)
def test_no_line_comes_from_a_target(account: Path, target: Target) -> None:
    with pytest.raises(SettingsError, match="cannot be reached over SSH"):
        written(target, SshSettings(), account)
