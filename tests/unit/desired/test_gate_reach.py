"""What evaluations may connect to; nothing is sent."""

import socket
from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from reconciler.desired.gate import Reach, Refused
from reconciler.settings import NixSettings, RepositorySettings, Settings

ELSEWHERE = "93.184.215.14"
PRIVATE = "192.168.77.7"


def reach(
    *allowed: str, trusted: bool = True, url: str = "/srv/x.git", listed: bool = False
) -> Reach:
    uris = allowed if allowed or listed else None
    nix = NixSettings.model_validate({"allowed_uris": uris})
    settings = Settings(repository=RepositorySettings(url=url), nix=nix)
    return Reach(settings, trusted=trusted)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Sequence[str]]:
    """Return where names lead, for the test to fill."""
    known: dict[str, Sequence[str]] = {}

    def resolved(name: str, port: int, **_how: object) -> list[object]:
        family = socket.AF_INET
        return [(family, 0, 0, "", (address, port)) for address in known[name]]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return known


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "[::1]",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "0.0.0.0",  # noqa: S104 -- nothing is bound
        "::",
        "169.254.169.254",
        "0xa9fea9fe",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_no_evaluation_reaches_this_machine_or_credentials(host: str) -> None:
    for trusted in (True, False):
        with pytest.raises(Refused, match="may not connect to"):
            reach(trusted=trusted).addresses(host, 80)


def test_what_is_public_is_reached() -> None:
    for trusted in (True, False):
        found = reach(trusted=trusted).addresses(ELSEWHERE, 443)
        assert list(map(str, found)) == [ELSEWHERE]


def test_a_private_network_is_reached_once_merged() -> None:
    assert reach().addresses(PRIVATE, 22)
    with pytest.raises(Refused, match=rf"not merged; .*ssh://{PRIVATE}"):
        reach(trusted=False).addresses(PRIVATE, 22)


@pytest.mark.parametrize(
    "url", [f"https://{PRIVATE}/x.git", f"ssh://git@{PRIVATE}:443/x", "git@forge:x"]
)
def test_so_is_the_forge_of_the_repository_before(
    names: dict[str, Sequence[str]], url: str
) -> None:
    names["forge"] = [PRIVATE]
    host, port = ("forge", 22) if "forge" in url else (PRIVATE, 443)

    assert reach(trusted=False, url=url).addresses(host, port)
    with pytest.raises(Refused):
        reach(trusted=False, url=url).addresses(host, 8080)


def test_a_name_that_leads_to_where_no_forge_is(
    names: dict[str, Sequence[str]],
) -> None:
    """Also where the owner of the name is not the one who listed it."""
    names["rebound.example.org"] = ["169.254.169.254"]

    for one in (reach(), reach("http://rebound.example.org"), reach("http://*.org")):
        with pytest.raises(Refused, match=r"169\.254\.169\.254.* credentials"):
            one.addresses("rebound.example.org", 80)


def test_of_several_addresses_those_are_taken_that_may_be_reached(
    names: dict[str, Sequence[str]],
) -> None:
    names["both.example.org"] = ["127.0.0.1", ELSEWHERE]

    found = reach().addresses("both.example.org", 443)

    assert list(map(str, found)) == [ELSEWHERE]


def test_a_list_is_all_there_is(names: dict[str, Sequence[str]]) -> None:
    names |= {name: [PRIVATE] for name in ("git.example.org", "a.b.net", "github.com")}
    listed = reach("https://Git.Example.org./", "ssh://*.b.net:2222", "github:")

    assert listed.addresses("git.example.org", 443)
    assert listed.addresses("GIT.example.org.", 443)
    assert listed.addresses("a.b.net", 2222)
    assert listed.addresses("github.com", 443)
    for host, port in (("git.example.org", 22), ("b.net", 2222), (ELSEWHERE, 443)):
        with pytest.raises(Refused, match=rf"nix\.allowed_uris.*: add .*{host}"):
            listed.addresses(host, port)


def test_an_empty_list_is_nowhere() -> None:
    with pytest.raises(Refused, match=r"nix\.allowed_uris"):
        reach(listed=True).addresses(ELSEWHERE, 443)


def test_a_list_may_name_this_machine_but_not_our_own_port() -> None:
    listed = reach("http://127.0.0.1:3000", "http://127.0.0.1:9876")

    assert listed.addresses("127.0.0.1", 3000)
    with pytest.raises(Refused, match="the reconciler itself listens there"):
        listed.addresses("127.0.0.1", 9876)


def test_an_error_tells_the_uri_and_what_to_list() -> None:
    with pytest.raises(Refused) as caught:
        reach("github:").require_uri("git+https://x.example.org:8443/a.git")

    assert "for git+https://x.example.org:8443/a.git" in str(caught.value)
    assert str(caught.value).endswith("add https://x.example.org:8443")


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("github.com", "no place to fetch from: write https://HOST"),
        ("file:///srv", "no place to fetch from"),
        ("git@github.com:x/y", "no place to fetch from"),
        ("https://github.com/NixOS/", "leave the path out"),
        ("https://git:secret@example.org", "must not hold a password"),
        ("https://exa mple.org", "is no name of a host"),
        ("https://*", "is no name of a host"),
        ("https://example.org:99999", "Port out of range"),
    ],
)
def test_what_cannot_be_listed(uri: str, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        reach(uri)
