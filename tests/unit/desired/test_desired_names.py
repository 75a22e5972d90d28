"""Unit names: templates, instances, aliases and specifiers."""

import pytest

from reconciler.desired.names import Names, is_template, template_of, trigger_default

NAMES = Names(
    declared={"a.service", "b@.service", "b@x.service"},
    aliases={"c.service": "a.service", "d@.service": "b@.service"},
)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("a.service", "a.service"),
        ("c.service", "a.service"),
        ("d@y.service", "b@y.service"),
        ("elsewhere.target", "elsewhere.target"),
    ],
)
def test_names_stand_for_units(name: str, unit: str) -> None:
    assert NAMES.canonical(name) == unit


def test_an_instance_is_there_if_its_template_is() -> None:
    assert NAMES.has("b@new.service")
    assert not NAMES.has("e@new.service")
    assert not NAMES.has("e.service")


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("x@%i.service", "x@tty1.service"),
        ("%p-setup.service", "my-getty-setup.service"),
        ("%j.target", "getty.target"),
        ("%N.socket", "my-getty@tty1.socket"),
        ("%n", "my-getty@tty1.service"),
        ("c.service", "a.service"),
    ],
)
def test_specifiers_are_those_of_the_unit(word: str, expanded: str) -> None:
    assert NAMES.expanded(word, of="my-getty@tty1.service") == expanded


def test_templates_and_instances_are_told_apart() -> None:
    assert is_template("b@.service")
    assert not is_template("b@x.service")
    assert not is_template("b.service")
    assert template_of("b@x.service") == "b@.service"
    assert template_of("b@.service") == ""
    assert template_of("b.service") == ""


def test_escaped_names_are_left_alone() -> None:
    name = r"systemd-fsck@dev-disk-by\x2duuid-x.service"

    assert NAMES.canonical(name) == name
    assert template_of(name) == "systemd-fsck@.service"


def test_triggers_start_their_namesakes() -> None:
    assert trigger_default("a.b.timer") == "a.b.service"
    assert trigger_default("srv-data.automount") == "srv-data.mount"
