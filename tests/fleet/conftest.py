"""Fleets for the tests in this folder; see ``tests/support/fleet.py``."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import FleetFactory, Reaper, fleets

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests here, and skip those that need root without it."""
    for item in items:
        if HERE not in item.path.parents:
            continue
        if {"fleet", "module_fleet"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("fleet")
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="real hosts need root"))


@pytest.fixture(scope="session")
def reaper() -> Iterator[Reaper]:
    """Give the process that ends our fleets if we die."""
    reaper = Reaper()
    yield reaper
    reaper.close()


@pytest.fixture
def fleet(tmp_path: Path, reaper: Reaper) -> Iterator[FleetFactory]:
    """Give a function that starts hosts, which end with the test."""
    with fleets(tmp_path / "fleets", reaper) as start:
        yield start


@pytest.fixture(scope="module")
def module_fleet(
    tmp_path_factory: pytest.TempPathFactory, reaper: Reaper
) -> Iterator[FleetFactory]:
    """Give a function that starts hosts, which end with the module's last test."""
    with fleets(tmp_path_factory.mktemp("fleets"), reaper) as start:
        yield start
