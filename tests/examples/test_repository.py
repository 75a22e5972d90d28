"""The example repository, evaluated and built with the machine's own Nix."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.examples.nix import PROJECT, build, evaluate

pytestmark = pytest.mark.nix

Machines = dict[str, Any]  # machines.nix says what is in it

REPOSITORY = PROJECT / "examples" / "repo"

EXPRESSION = f"""
let machines = import {PROJECT}/tests/examples/machines.nix
  {{ repository = {REPOSITORY}; }};
in {{
  inherit (machines) hosts changed;
  network = machines.network "network.nix";
}}
"""

SERVICES = {
    "chrysalis": {"printerfacts", "withinbot"},
    "keanu": {"printerfacts"},
    "lufta": {"withinbot"},
}

EVERY_SERVICE = {"printerfacts", "withinbot"}


@pytest.fixture(scope="module")
def machines() -> Machines:
    """Return what Nix says of the machines."""
    return evaluate(EXPRESSION)


@pytest.fixture(scope="module")
def toplevels(machines: Machines) -> dict[str, Path]:
    """Build the machines; return their toplevels by name."""
    hosts = machines["hosts"]
    built = build(*(hosts[name]["toplevel"] for name in SERVICES))
    return dict(zip(SERVICES, built, strict=True))


def unit_file(toplevel: Path, unit: str) -> Path:
    return toplevel / "etc" / "systemd" / "system" / unit


def start_script(toplevel: Path, service: str) -> str:
    """Return the script that the service's ExecStart names."""
    text = unit_file(toplevel, f"{service}.service").read_text()
    found = re.search(r"^ExecStart=(\S+)", text, re.MULTILINE)
    assert found is not None
    return Path(found[1]).read_text()


def test_both_entry_points_know_the_same_machines(machines: Machines) -> None:
    assert set(machines["hosts"]) == set(machines["network"]) == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_both_entry_points_give_the_same_units(machines: Machines, name: str) -> None:
    units = machines["hosts"][name]["units"]

    assert units == machines["network"][name]["units"]
    assert {f"{service}.service" for service in SERVICES[name]} < set(units)


@pytest.mark.parametrize("name", SERVICES)
def test_both_entry_points_build(
    machines: Machines,
    toplevels: dict[str, Path],
    name: str,
) -> None:
    (other,) = build(machines["network"][name]["toplevel"])

    for toplevel in (toplevels[name], other):
        assert toplevel.name.split("-", 1)[1].startswith(f"nixos-system-{name}-")
        assert (toplevel / "bin" / "switch-to-configuration").is_file()
        assert (toplevel / "activate").is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_a_machine_has_the_services_that_it_turns_on_and_no_others(
    machines: Machines,
    toplevels: dict[str, Path],
    name: str,
) -> None:
    wanted = unit_file(toplevels[name], "multi-user.target.wants")

    for service in EVERY_SERVICE:
        on = service in SERVICES[name]
        assert (wanted / f"{service}.service").exists() is on
        assert (service in machines["hosts"][name]["users"]) is on


def test_a_services_unit_is_what_its_module_says(toplevels: dict[str, Path]) -> None:
    unit = unit_file(toplevels["lufta"], "withinbot.service").read_text()

    assert {
        "User=withinbot",
        "Group=within",
        "WorkingDirectory=/srv/within/withinbot",
        "RuntimeDirectory=withinbot",
        "EnvironmentFile=/run/keys/withinbot",
        "SupplementaryGroups=keys",
        "After=withinbot-key.service",
        "Wants=withinbot-key.service",
        "PartOf=withinbot-key.service",
        "Restart=always",
        "RestartSec=2s",
        'Environment="WITHINBOT_NAME=luftabot"',
    } < set(unit.splitlines())


def test_a_machine_sets_the_options_of_its_services(
    machines: Machines,
    toplevels: dict[str, Path],
) -> None:
    script = start_script(toplevels["keanu"], "printerfacts")

    assert re.search(r"--address '?keanu'? ", script)
    assert "--port 8080 " in script
    assert 8080 in machines["hosts"]["keanu"]["ports"]


@pytest.mark.parametrize("service", sorted(EVERY_SERVICE))
def test_a_service_starts_the_built_program(
    toplevels: dict[str, Path], service: str
) -> None:
    script = start_script(toplevels["chrysalis"], service)
    found = re.search(rf"exec (/nix/store/\S+/bin/{service})\b", script)
    assert found is not None

    version = subprocess.run(
        [found[1], "--version"], capture_output=True, text=True, timeout=100, check=True
    )
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", version.stdout)
    assert f"-{service}-{version.stdout.strip()}/" in found[1]


def test_people_on_a_machine_can_ask_the_bot(toplevels: dict[str, Path]) -> None:
    assert (toplevels["keanu"] / "sw" / "bin" / "withinbot").is_file()


def test_a_change_of_one_service_changes_its_unit_alone(machines: Machines) -> None:
    before = machines["hosts"]["chrysalis"]["units"]
    after = machines["changed"]["units"]

    assert set(before) == set(after)
    assert {name for name in before if before[name] != after[name]} == {
        "withinbot.service"
    }


def test_the_network_says_where_the_machines_are(machines: Machines) -> None:
    network = machines["network"]

    assert {name: network[name]["deployment"]["targetHost"] for name in network} == {
        name: name for name in SERVICES
    }
    assert network["chrysalis"]["deployment"]["tags"] == ["house", "always-on"]
    assert all(network[name]["deployment"]["hasFastConnection"] for name in network)


def test_the_bot_has_a_key_that_is_its_own(machines: Machines) -> None:
    key = {"user": "withinbot", "group": "within", "permissions": "0400"}

    for entry in ("hosts", "network"):
        assert {n: m["keys"] for n, m in machines[entry].items()} == {
            "chrysalis": {"withinbot": key},
            "keanu": {},
            "lufta": {"withinbot": key},
        }


def test_git_ignores_secrets_and_keeps_the_folder(tmp_path: Path) -> None:
    folder = "common/services/secrets"
    shutil.copy(REPOSITORY / ".gitignore", tmp_path)
    (tmp_path / folder).mkdir(parents=True)
    for name in ("README.md", "withinbot.env", "other.age"):
        (tmp_path / folder / name).touch()
    for argv in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", "-C", tmp_path, *argv], check=True, timeout=100)

    listed = ["git", "-C", str(tmp_path), "ls-files", folder]
    known = subprocess.run(
        listed, check=True, capture_output=True, text=True, timeout=100
    )
    assert known.stdout == f"{folder}/README.md\n"
    assert (REPOSITORY / folder / "README.md").is_file()
