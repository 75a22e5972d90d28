"""Desired states as Nix prints them and as the cache keeps them."""

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired import from_json, to_json
from reconciler.desired.codec import Where, from_nix
from reconciler.errors import StateError
from reconciler.model import (
    CheckKind,
    CheckSide,
    Desired,
    DesiredKey,
    DesiredUnit,
    HealthCheck,
    HostName,
    KeyOrigin,
    Mount,
    Target,
)
from reconciler.settings import Build, HostSettings

KEANU = HostName("keanu")


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"


def facts(**deployment: object) -> dict[str, Any]:
    return {
        "kind": "nixos",
        "toplevel": "/nix/store/t",
        "derivation": "/nix/store/t.drv",
        "platform": "aarch64-linux",
        "programsHere": [],
        "defaultUnit": "multi-user.target",
        "units": {
            "withinbot.service": {
                "path": "/nix/store/u/withinbot.service",
                "lines": ["[Unit]", "[Service]", "Type=notify"],
                "aliases": [],
                "wantedBy": ["multi-user.target"],
                "requiredBy": [],
                "upheldBy": [],
            }
        },
        "keys": {},
        "checks": {"http": [], "tcp": [], "command": []},
        "places": {"hostName": "keanu", "fqdn": None, "port": 22, "places": []},
        "rules": {},
        "warnings": ["foo is old"],
        "ssh": {
            "enabled": True,
            "ports": [22],
            "openPorts": None,
            "rootLogin": "prohibit-password",
            "hostKeys": ["ed25519 /etc/ssh/ssh_host_ed25519_key"],
            "logins": {"root": [f"restrict,pty {KEY} me", "# none"]},
        },
        "secrets": [
            {
                "name": "db",
                "tool": "sops-nix",
                "file": "/nowhere/db.yaml",
                "path": "/run/secrets/db",
                "user": "0",
                "group": "keys",
                "mode": "0440",
                "readers": ["ed25519"],
                "pgp": False,
                "renewed": "/run/secrets",
            }
        ],
        "base": {
            "stateVersion": "24.05",
            "loader": f"/nix/store/{'a' * 32}-install-grub.sh -x",
            "mutableUsers": True,
            "users": {"root": False, "cadey": True},
            "mounts": [{"place": "/", "device": "d", "type": "ext4", "options": "o"}],
            "updaters": ["system.autoUpgrade"],
        },
        "deployment": {
            "tags": ["web", "house", "web"],
            "hasFastConnection": True,
            "buildOnHost": False,
            "specialisation": None,
            "specialisations": [],
            **deployment,
        },
    }


def read(**deployment: object) -> Desired:
    where = Where(overrides=HostSettings(address="127.0.80.1"))
    return from_nix(KEANU, facts(**deployment), where, roots=[Path("/srv/checkout")])


def test_what_a_host_stands_on_is_kept() -> None:
    base = read().base

    assert base is not None
    assert (base.loader, base.state_version) == ("grub", "24.05")
    assert base.mounts == (Mount(place="/", device="d", type="ext4", options="o"),)
    assert from_json(to_json(read())) == read()
    kept = json.loads(to_json(read()))
    del kept["base"]
    assert from_json(json.dumps(kept)).base is None


def test_who_updates_himself_is_warned_about() -> None:
    (_, warning) = read().warnings

    assert warning.startswith("system.autoUpgrade switches this host without us")


def test_the_answer_of_nix_becomes_a_desired_state() -> None:
    desired = read()

    assert desired.host == KEANU
    assert desired.toplevel == "/nix/store/t"
    assert desired.derivation == "/nix/store/t.drv"
    assert desired.tags == ("house", "web")
    assert desired.fast_connection
    assert (desired.target.address, desired.address_from) == ("127.0.80.1", "settings")
    (unit,) = desired.units.values()
    assert (unit.name, unit.type, unit.wanted) == ("withinbot.service", "notify", True)


@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize("setting", [None, *Build])
def test_the_settings_say_where_it_is_built_or_else_the_commit(
    *, said: bool, setting: Build | None
) -> None:
    where = Where(overrides=HostSettings(build=setting))

    desired = from_nix(KEANU, facts(buildOnHost=said), where, roots=[])

    there = said if setting is None else setting is Build.HOST
    assert desired.build_on_host is there


text = st.text(max_size=20)
units = st.builds(
    DesiredUnit,
    name=text,
    path=st.none() | text,
    wanted=st.booleans(),
    type=text,
    remain_after_exit=st.booleans(),
    triggered=st.booleans(),
    restart_if_changed=st.booleans(),
    reload_if_changed=st.booleans(),
    stop_if_changed=st.booleans(),
    only_manual=st.booleans(),
)
targets = st.builds(
    Target,
    address=text,
    port=st.integers(1, 65535),
    user=text,
    escalation=st.lists(text, max_size=3).map(tuple),
)
keys = st.builds(
    DesiredKey,
    name=text,
    path=text,
    origin=st.sampled_from(KeyOrigin),
    file=text,
    command=st.lists(text, max_size=3).map(tuple),
    user=text,
    group=text,
    mode=st.integers(0, 0o7777),
    before_activation=st.booleans(),
    restart_units=st.lists(text, max_size=3).map(tuple),
)
checks = st.builds(
    HealthCheck,
    kind=st.sampled_from(CheckKind),
    side=st.sampled_from(CheckSide),
    name=text,
    within=st.floats(0.1, 60),
    host=text,
    headers=st.dictionaries(text, text, max_size=2),
    insecure=st.booleans(),
    status=st.lists(st.integers(100, 599), max_size=3).map(tuple),
    command=st.lists(text, max_size=3).map(tuple),
)
states = st.builds(
    Desired,
    host=text,
    toplevel=text,
    derivation=text,
    units=st.lists(units, max_size=4).map(lambda us: {u.name: u for u in us}),
    target=targets,
    keys=st.lists(keys, max_size=4).map(lambda ks: {k.name: k for k in ks}),
    tags=st.lists(text, max_size=3).map(tuple),
    fast_connection=st.booleans(),
    checks=st.lists(checks, max_size=3).map(tuple),
    specialisation=text,
    specialisations=st.lists(text, max_size=3).map(tuple),
)


@given(states)
def test_the_cache_gives_back_what_it_was_given(desired: Desired) -> None:
    assert from_json(to_json(desired)) == desired


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", "{", '{"host": 1}', '"x"', "3"]
)
def test_other_text_is_no_desired_state(text: str) -> None:
    with pytest.raises(StateError, match="cached evaluation"):
        from_json(text)


def test_a_state_with_a_missing_or_a_new_field_is_refused() -> None:
    fields = json.loads(to_json(read()))
    missing = {key: value for key, value in fields.items() if key != "derivation"}

    for broken in (missing, {**fields, "colour": "red"}):
        with pytest.raises(StateError):
            from_json(json.dumps(broken))


def test_hosts_share_the_units_that_are_the_same() -> None:
    """Apart, a thousand hosts of a few hundred units would take 100 MB for them."""
    text, other = to_json(read()), json.loads(to_json(read()))
    name = next(iter(other["units"]))
    other["units"][name]["path"] = f"/nix/store/{'z' * 32}-unit-{name}/{name}"

    mine, theirs = from_json(text), from_json(json.dumps(other))

    new = read()
    assert all(new.units[unit] is mine.units[unit] for unit in mine.units)
    for unit in mine.units:
        assert (mine.units[unit] is theirs.units[unit]) is (unit != name)


def test_units_that_nobody_has_any_more_are_forgotten() -> None:
    fields = json.loads(to_json(read()))
    name = next(iter(fields["units"]))
    fields["units"][name]["path"] = f"/nix/store/{'y' * 32}-unit-{name}/{name}"
    desired = from_json(json.dumps(fields))
    known = weakref.ref(desired.units[name])

    del desired
    gc.collect()

    assert known() is None
