"""Who we are, for other reconcilers."""

from pathlib import Path

import pytest

from reconciler.errors import StateError
from reconciler.world import driver_of


def test_it_stays_the_same_also_where_the_state_was_lost(tmp_path: Path) -> None:
    first = driver_of(tmp_path)
    assert driver_of(tmp_path) == first
    (tmp_path / "id").unlink()
    assert driver_of(tmp_path) == first
    assert str(tmp_path) in first


def test_another_state_is_another_one(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one, other = driver_of(tmp_path), driver_of(tmp_path / "other")
    assert one.split()[0] != other.split()[0]

    (tmp_path / "other" / "id").write_text((tmp_path / "id").read_text())
    assert one.split()[0] == driver_of(tmp_path / "other").split()[0]


def test_without_a_place_for_it_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "id").mkdir()

    with pytest.raises(StateError, match="id"):
        driver_of(tmp_path)
