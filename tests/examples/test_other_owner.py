"""The repository of another owner, which the tests deploy: it is what it should be."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.examples.nix import PROJECT, build, evaluate

pytestmark = pytest.mark.nix

Machines = dict[str, Any]  # machines.nix says what is in it

REPOSITORY = PROJECT / "tests" / "support" / "repos" / "other-owner"

EXPRESSION = f"""
(import {PROJECT}/tests/examples/machines.nix {{ repository = {REPOSITORY}; }}).network
  "nixops.nix"
"""


@pytest.fixture(scope="module")
def machines() -> Machines:
    """Return what Nix says of the machines."""
    return evaluate(EXPRESSION)


@pytest.fixture(scope="module")
def toplevels(machines: Machines) -> dict[str, Path]:
    """Build the machines; return their toplevels by name."""
    built = build(*(machine["toplevel"] for machine in machines.values()))
    return dict(zip(machines, built, strict=True))


def unit(toplevel: Path, name: str) -> list[str]:
    """Return the lines of a unit file."""
    path = toplevel / "etc" / "systemd" / "system" / name
    return path.read_text().splitlines()


def test_the_required_file_says_where_the_machines_are(machines: Machines) -> None:
    assert {
        name: machine["deployment"]["targetHost"] for name, machine in machines.items()
    } == {"attic": "attic.home.arpa", "cellar": "cellar.home.arpa"}


def test_definitions_in_both_files_have_their_priorities(machines: Machines) -> None:
    greetings = {name: machines[name]["etc"]["house/greeting"] for name in machines}

    assert greetings == {"attic": "Mind the stairs.\n", "cellar": "Mind your head.\n"}


def test_the_machines_know_each_other(toplevels: dict[str, Path]) -> None:
    for toplevel in toplevels.values():
        inventory = toplevel / "etc" / "house" / "inventory.json"
        assert json.loads(inventory.read_text()) == {
            "attic": "under the roof",
            "cellar": "below the kitchen",
        }


@pytest.mark.parametrize(
    ("machine", "name", "line"),
    [
        ("attic", "worker.service", "X-RestartIfChanged=false"),
        ("attic", "greeter.service", 'Environment="QUIET=false"'),
        ("attic", "house-stamp.service", "Type=oneshot"),
        ("attic", "quotes.socket", "ListenStream=/run/quotes.sock"),
        ("cellar", "backup.service", "Type=oneshot"),
        ("cellar", "backup.timer", "OnCalendar=03:17"),
    ],
)
def test_units_of_many_kinds(
    toplevels: dict[str, Path], machine: str, name: str, line: str
) -> None:
    assert line in unit(toplevels[machine], name)


def test_a_new_greeting_is_a_reload(toplevels: dict[str, Path]) -> None:
    attic, cellar = (
        {
            line
            for line in unit(toplevels[name], "greeter.service")
            if "X-Reload" in line
        }
        for name in ("attic", "cellar")
    )

    assert attic
    assert cellar
    assert attic != cellar


@pytest.mark.parametrize(
    ("name", "wanted_by"),
    [
        ("house-stamp.service", "multi-user.target"),
        ("greeter.service", "multi-user.target"),
        ("quotes.socket", "sockets.target"),
        ("backup.timer", "timers.target"),
    ],
)
def test_units_are_started_by_their_targets(
    toplevels: dict[str, Path], name: str, wanted_by: str
) -> None:
    units = toplevels["cellar"] / "etc" / "systemd" / "system"

    assert (units / f"{wanted_by}.wants" / name).exists()


@pytest.mark.parametrize("name", ["quotes.service", "backup.service"])
def test_units_that_something_else_starts_are_wanted_by_none(
    toplevels: dict[str, Path], name: str
) -> None:
    units = toplevels["cellar"] / "etc" / "systemd" / "system"

    assert (units / name).exists()
    assert not list(units.glob(f"*.wants/{name}"))
