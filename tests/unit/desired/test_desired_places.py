"""Where a host is: by settings, by what the repository says, by a rule."""

import pytest

from reconciler.desired.places import target_of
from reconciler.errors import EvaluationError
from reconciler.model import HostName, Target
from reconciler.settings import HostSettings, Transport

WEB = HostName("web")

Fields = dict[str, object]


def target(
    *places: Fields,
    overrides: HostSettings | None = None,
    rule: str | None = None,
    **facts: object,
) -> tuple[Target, str]:
    known: Fields = {"hostName": "web", "fqdn": None, "port": None, **facts}
    return target_of(
        WEB, {**known, "places": places}, overrides or HostSettings(), rule
    )


def says(source: str, **fields: object) -> Fields:
    return {"from": source, **fields}


DEPLOYMENT = says("deployment", port=2222, user="ops", escalation=["doas"], sshOpts=[])


def test_options_say_where_a_host_is() -> None:
    found, source = target(
        says("deployment.targetHost", address="web.example.org"), DEPLOYMENT
    )

    assert source == "deployment.targetHost"
    assert found == Target(
        address="web.example.org", port=2222, user="ops", escalation=("doas",)
    )


def test_the_settings_win() -> None:
    overrides = HostSettings(address="127.0.80.1", port=2200, user="admin")
    host = says("deployment.targetHost", address="web.example.org")
    found, source = target(host, DEPLOYMENT, overrides=overrides)

    assert source == "settings"
    assert (found.address, found.port, found.user) == ("127.0.80.1", 2200, "admin")
    assert found.escalation == ("doas",)


def test_this_machine_is_reached_by_no_address() -> None:
    overrides = HostSettings(transport=Transport.LOCAL)
    host = says("deployment.targetHost", address="web.example.org")

    found, source = target(host, DEPLOYMENT, overrides=overrides)

    assert source == "settings"
    assert found == Target.here(("doas",))
    assert found.login == "this machine"


def test_the_first_that_has_an_address_is_asked_first_for_the_rest_too() -> None:
    """Options that nobody set say root, and would hide whom clan logs in as."""
    clan = says("clan.core.networking.targetHost", target="ops@web.pin:2022?A=b")
    found, source = target({**DEPLOYMENT, "user": "root", "port": 22}, clan)

    assert source == "clan.core.networking.targetHost"
    assert (found.address, found.port, found.user) == ("web.pin", 2022, "ops")


def test_its_own_name_is_called_so() -> None:
    assert target(says("deployment.targetHost", address="web"))[1] == "its name"


def test_nobody_says_where_it_is() -> None:
    found, source = target()

    assert (found.address, source) == ("", "")


@pytest.mark.parametrize(
    ("rule", "facts", "address"),
    [
        ("{name}.lan", {}, "web.lan"),
        ("{hostName}.lan", {"hostName": "www"}, "www.lan"),
        ("{fqdn}", {"fqdn": "web.example.org"}, "web.example.org"),
        ("{fqdn}", {}, ""),
    ],
)
def test_a_rule_says_it_for_those_of_whom_nobody_does(
    rule: str, facts: Fields, address: str
) -> None:
    found, source = target(rule=rule, **facts)

    assert (found.address, source) == (address, "ssh.address" if address else "")
    said = target(says("deployment.targetHost", address="x"), rule=rule, **facts)
    assert said[0].address == "x"


@pytest.mark.parametrize(
    ("options", "port", "user"),
    [
        (["-p", "17788"], 17788, "root"),
        (["-p17788"], 17788, "root"),
        (["-p 17788"], 17788, "root"),
        (["-o", "Port=222", "-l", "ops"], 222, "ops"),
        (["-oport 222", "-o", "User = ops"], 222, "ops"),
        (["-p", "1", "-p", "2"], 1, "root"),
        (["-A", "-i", "/key"], 22, "root"),
    ],
)
def test_ports_and_users_among_ssh_options_are_read(
    options: list[str], port: int, user: str
) -> None:
    found, _ = target(says("deploy.nodes", address="web", sshOpts=options))

    assert (found.port, found.user) == (port, user)


def test_deploy_rs_says_who_becomes_root_and_how() -> None:
    node = says("deploy.nodes", address="web", user="deploy", profileUser="root")

    assert target({**node, "sudo": "sudo -u"})[0].escalation == ("sudo", "-H", "--")
    assert target({**node, "sudo": "doas -u"})[0].escalation == ("doas", "-u", "root")


@pytest.mark.parametrize(
    ("text", "address", "port", "user"),
    [
        ("root@web.lan", "web.lan", 22, "root"),
        ("web.lan", "web.lan", 22, "root"),
        ("ops@[fd00::1]:2022", "fd00::1", 2022, "ops"),
        ("ssh://ops@web.lan:2022", "web.lan", 2022, "ops"),
    ],
)
def test_a_user_and_a_port_may_stand_in_the_address(
    text: str, address: str, port: int, user: str
) -> None:
    found, _ = target(says("nixos-unified.sshTarget", target=text))

    assert (found.address, found.port, found.user) == (address, port, user)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("user", "root\n  ProxyCommand touch /tmp/x", "is no user name"),
        ("user", "-oProxyCommand=x", "is no user name"),
        ("address", "keanu\n  ProxyCommand touch x", "neither a host name nor an IP"),
        ("address", "fe80::1%eth0\n  ProxyCommand x", "neither a host name nor an IP"),
        ("address", "-oProxyCommand=x", "neither a host name nor an IP address"),
        ("address", "root@keanu", "the user belongs into `user`"),
        ("port", 65536, "65536 is no port: a number from 1 to 65535"),
    ],
)
def test_what_a_commit_says_is_checked_as_the_settings_are(
    field: str, value: object, told: str
) -> None:
    """A line end in the name of a user was another option of ssh."""
    good = says("deployment.targetHost", address="web.example", user="ops", port=22)

    with pytest.raises(EvaluationError, match=r"^deployment\.targetHost: ") as caught:
        target({**good, field: value})

    assert told in str(caught.value)
    assert caught.value.host == WEB


def test_what_the_settings_say_stands_for_what_a_commit_says() -> None:
    overrides = HostSettings(address="fe80::1%eth0", user="ops", port=22)
    bad = says("deployment.targetHost", address="a b", user="a b", port=70000)

    found, _ = target(bad, overrides=overrides)

    assert (found.address, found.user, found.port) == ("fe80::1%eth0", "ops", 22)
