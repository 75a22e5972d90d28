"""What of a changed settings file is applied, and what waits for a restart."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.settings import Settings, change
from reconciler.settings.changes import FIXED, LIVE

BASE: dict[str, Any] = {"repository": {"url": "/srv/git"}, "state": "/var/lib/x"}


def settings(**sections: Any) -> Settings:  # noqa: ANN401 -- what a file may hold
    return Settings.model_validate({**BASE, **sections})


@pytest.mark.parametrize(
    ("sections", "applied", "restart"),
    [
        ({}, (), ()),
        ({"policy": {"mode": "report"}}, ("policy.mode",), ()),
        ({"policy": {"heal": False, "interval": "5s"}}, 2, ()),
        ({"policy": {"parallel": 3}}, (), ("policy.parallel",)),
        ({"hosts": {"lufta": {"address": "192.0.2.1"}}}, ("hosts",), ()),
        ({"repository": {"url": "/srv/git", "poll": "5s"}}, ("repository.poll",), ()),
        ({"repository": {"url": "/srv/other"}}, (), ("repository.url",)),
        ({"http": {"listen": "127.0.0.1:1"}}, (), ("http.listen",)),
        ({"ssh": {"identity": "/x"}}, (), ("ssh.identity",)),
        ({"state": "/elsewhere"}, (), ("state.path",)),
        (
            {"state": {"path": "/var/lib/x", "database": "postgresql:///x"}},
            (),
            ("state.database",),
        ),
        ({"webhooks": {"x": {"provider": "sourcehut"}}}, ("webhooks",), ()),
        ({"api": {"loopback_reads": True}}, ("api.loopback_reads",), ()),
        (
            {"policy": {"heal": False}, "nix": {"options": {"cores": 1}}},
            ("policy.heal",),
            ("nix.options",),
        ),
    ],
)
def test_changes(
    sections: dict[str, Any], applied: tuple[str, ...] | int, restart: tuple[str, ...]
) -> None:
    changed = change(settings(), settings(**sections))

    if isinstance(applied, int):
        assert len(changed.applied) == applied
    else:
        assert changed.applied == applied
    assert changed.restart == restart


def test_what_waits_keeps_its_value_and_the_rest_does_not() -> None:
    new = settings(
        policy={"mode": "report", "parallel": 3},
        repository={"url": "/srv/other", "poll": "5s"},
        http={"listen": "127.0.0.1:1"},
    )
    now = change(settings(), new).settings

    assert now.policy.mode is new.policy.mode
    assert now.policy.parallel == settings().policy.parallel
    assert now.repository.url == "/srv/git"
    assert now.repository.poll == 5.0
    assert now.http == settings().http


def test_what_waits_is_told_again_as_long_as_it_waits() -> None:
    new = settings(state="/elsewhere")
    once = change(settings(), new)
    again = change(once.settings, new)

    assert once.restart == again.restart == ("state.path",)
    assert str(again) == "waits for a restart: state.path"
    assert str(change(settings(), settings())) == "nothing changed"


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "policy": st.fixed_dictionaries(
                {},
                optional={
                    "heal": st.booleans(),
                    "parallel": st.integers(1, 20),
                    "interval": st.integers(1, 100),
                },
            ),
            "state": st.sampled_from(["/var/lib/x", "/a", "/b"]),
            "hosts": st.dictionaries(
                st.sampled_from("abc"), st.just({"user": "me"}), max_size=3
            ),
        },
    ),
    st.fixed_dictionaries({}, optional={"policy": st.just({"heal": False})}),
)
def test_a_restart_brings_the_rest(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Nothing is lost between what is applied and what waits."""
    old, new = settings(**other), settings(**one)
    changed = change(old, new)

    assert bool(changed.applied or changed.restart) == (old != new)
    assert (changed.settings == new) == (not changed.restart)
    assert (changed.settings == old) == (not changed.applied)


def test_the_names_are_of_settings() -> None:
    sections = Settings.model_fields
    for name in LIVE | FIXED:
        section, _, key = name.partition(".")
        assert section in sections
        kind = sections[section].annotation
        assert not key or key in kind.model_fields  # type: ignore[union-attr]
