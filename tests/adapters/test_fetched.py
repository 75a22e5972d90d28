"""What one evaluation of a flake leaves to the next of what Nix noted."""

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest

from reconciler.desired.fetched import WHOLE_TREES, cache

FILE = "fetcher-cache-v3.sqlite"
TABLE = """
    CREATE TABLE Cache (
        domain text NOT NULL, key text NOT NULL, value text NOT NULL,
        timestamp integer NOT NULL, PRIMARY KEY (domain, key)
    )
"""


@pytest.fixture
def notes(tmp_path: Path) -> dict[str, bytes]:
    """Return what newer Nix has where it has noted nothing."""
    path = tmp_path / FILE
    with contextlib.closing(sqlite3.connect(path)) as new:
        new.execute(TABLE)
    return {FILE: path.read_bytes()}


def key(path: str, tree: str = "7beb50e7", name: str = "source") -> str:
    told = {"fingerprint": tree, "method": "nar", "name": name, "path": path}
    return json.dumps(told)


def noted(place: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(place / "nix" / FILE)) as there:
        return [row[0] for row in there.execute("SELECT key FROM Cache")]


def note(place: Path, *keys: str) -> None:
    with contextlib.closing(sqlite3.connect(place / "nix" / FILE)) as there, there:
        rows = [("fetchToStore", one, '{"storePath":"x-source"}', 7) for one in keys]
        there.executemany("INSERT INTO Cache VALUES (?, ?, ?, ?)", rows)


def test_whole_trees_are_left_to_the_next_and_nothing_else(
    tmp_path: Path, notes: dict[str, bytes]
) -> None:
    usual = tmp_path / "usual"
    with cache(notes, usual) as place:
        assert noted(place) == []
        note(place, key("/"), key("/hosts"), key("/", name="of a host"))

    with cache(notes, usual) as place:
        assert noted(place) == [key("/")]
        note(place, key("/", "another"))

    with cache(notes, usual) as place:
        assert set(noted(place)) == {key("/"), key("/", "another")}


@pytest.mark.parametrize("held", ["", "[]", '{"a": 1}', '{"a": ["b", "c"]}'])
def test_what_is_no_list_of_trees_counts_for_nothing(
    tmp_path: Path, notes: dict[str, bytes], held: str
) -> None:
    usual = tmp_path / "usual"
    usual.mkdir()
    (usual / WHOLE_TREES).write_text(held)

    with cache(notes, usual) as place:
        assert noted(place) == []
        note(place, key("/"))

    with cache(notes, usual) as place:
        assert noted(place) == [key("/")]


def test_a_nix_that_notes_in_another_way_is_left_alone(tmp_path: Path) -> None:
    with cache({FILE: b"no database"}, tmp_path / "usual") as place:
        assert (place / "nix" / FILE).read_bytes() == b"no database"
