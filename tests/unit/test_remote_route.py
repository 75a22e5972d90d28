"""One way to a host, for Fabric and for OpenSSH alike."""

import subprocess
from pathlib import Path

import pytest

from reconciler.errors import SettingsError
from reconciler.model import Target
from reconciler.remote.route import find_route, openssh_options
from reconciler.settings import SshSettings

IDENTITY = Path("/state/id_ed25519")
KNOWN_HOSTS = Path("/state/known hosts")
LUFTA = Target(address="lufta", port=2222, user="deploy")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config"


def ask_openssh(
    target: Target, settings: SshSettings, config: Path
) -> dict[str, list[str]]:
    """Return what ssh(1) itself makes of our options."""
    options = openssh_options(target, settings, known_hosts=KNOWN_HOSTS, config=config)
    done = subprocess.run(
        ["ssh", "-G", *options, target.address],
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


def test_ours_overrides_what_decides_trust(config: Path) -> None:
    config.write_text(HOSTILE)
    settings = SshSettings(identity=IDENTITY, connect_timeout=2.5)

    found = ask_openssh(LUFTA, settings, config)
    route = find_route(LUFTA, settings, config)

    assert (route.user, route.port, route.name) == ("deploy", 2222, "[lufta]:2222")
    assert (route.identities, route.agent) == ((str(IDENTITY),), False)
    assert found["user"] == ["deploy"]
    assert found["port"] == ["2222"]
    assert found["hostkeyalias"] == ["[lufta]:2222"]
    assert found["stricthostkeychecking"] == ["true"]
    assert found["userknownhostsfile"] == [str(KNOWN_HOSTS)]
    assert found["globalknownhostsfile"] == ["none"]
    assert found["identityfile"] == [str(IDENTITY)]
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
def test_aliases_mean_the_same_to_both(config: Path, name: str) -> None:
    config.write_text(ALIASES)
    target = Target(address=name, port=2222, user="deploy")

    found = ask_openssh(target, SshSettings(), config)
    route = find_route(target, SshSettings(), config)

    assert [route.address] == found["hostname"]
    assert list(route.identities) == ["/keys/deploy-key"]
    assert route.name == f"[{name}]:2222"
    assert route.agent


def test_a_proxy_command_gets_our_port_and_user(config: Path) -> None:
    config.write_text(ALIASES)
    target = Target(address="keanu", port=2222, user="deploy")

    route = find_route(target, SshSettings(), config)

    assert route.proxy == "relay --user deploy keanu:2222"


@pytest.mark.parametrize(
    ("name", "jump"),
    [
        ("chrysalis", "-W [chrysalis]:22 -- ssh://me@gate:2200"),
        ("far", "-J gate -W [far]:22 -- ssh://inner"),
    ],
)
def test_openssh_makes_the_jump(config: Path, name: str, jump: str) -> None:
    config.write_text(ALIASES)

    route = find_route(Target(address=name), SshSettings(), config)

    expected = f"ssh -o BatchMode=yes -F {config} {jump}"
    assert route.proxy.replace("'", "") == expected


def test_no_jump_is_none(config: Path) -> None:
    config.write_text(ALIASES)

    assert find_route(Target(address="near"), SshSettings(), config).proxy == ""


def test_included_files_count(config: Path) -> None:
    extra = config.with_name("extra.d")
    extra.mkdir()
    (extra / "10-lufta.conf").write_text("Host lufta\n  HostName 10.0.0.9\n")
    config.write_text(f"Include {extra}/*.conf\n{ALIASES}")

    assert find_route(LUFTA, SshSettings(), config).address == "10.0.0.9"
    assert ask_openssh(LUFTA, SshSettings(), config)["hostname"] == ["10.0.0.9"]


def test_a_file_that_includes_itself_ends(config: Path) -> None:
    config.write_text(f"Include {config}\n{ALIASES}")

    assert find_route(LUFTA, SshSettings(), config).address == "10.0.0.7"


def test_no_file_is_no_opinion(config: Path) -> None:
    assert find_route(LUFTA, SshSettings(), config).address == "lufta"


def test_a_file_that_cannot_be_read_names_the_host(config: Path) -> None:
    config.write_text("Match nonsense\n")

    with pytest.raises(SettingsError, match="ssh_config, read for lufta"):
        find_route(LUFTA, SshSettings(), config)
