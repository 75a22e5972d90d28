"""Folders laid over a checkout: links, conflicts, and what is left of them."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import OverlayError
from reconciler.secrets.overlay import Overlays

FOLDER = "common/services/secrets"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a checkout with a tracked file in the folder of the secrets."""
    path = tmp_path / "commit" / "source"
    (path / FOLDER).mkdir(parents=True)
    (path / FOLDER / "README.md").write_text("tracked")
    return path


@pytest.fixture
def local(tmp_path: Path) -> Path:
    path = tmp_path / "local"
    path.mkdir()
    return path


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_are_linked_and_never_copied(checkout: Path, local: Path) -> None:
    (local / "bot.env").write_text("hunter2")
    (local / "deep").mkdir()
    (local / "deep/key").write_text("deep")
    overlays = Overlays({FOLDER: local, "new/folder": local / "deep"})

    overlays.lay(checkout)

    assert contents(checkout) == {
        f"{FOLDER}/README.md": "tracked",
        f"{FOLDER}/bot.env": "hunter2",
        f"{FOLDER}/deep/key": "deep",
        "new/folder/key": "deep",
    }
    linked = checkout / FOLDER / "bot.env"
    assert linked.readlink() == local / "bot.env"
    copies = [
        path
        for path in checkout.parent.rglob("*")
        if path.is_file() and not path.is_symlink() and "hunter2" in path.read_text()
    ]
    assert copies == []


def test_doing_it_again_changes_nothing(checkout: Path, local: Path) -> None:
    (local / "bot.env").write_text("hunter2")
    overlays = Overlays({FOLDER: local})
    overlays.lay(checkout)
    before = (checkout / FOLDER / "bot.env").lstat()

    overlays.lay(checkout)
    Overlays({FOLDER: local}).lay(checkout)

    assert (checkout / FOLDER / "bot.env").lstat() == before


def test_stale_links_go_and_tracked_files_stay(checkout: Path, local: Path) -> None:
    (local / "deep/er").mkdir(parents=True)
    (local / "deep/er/key").write_text("x")
    Overlays({FOLDER: local}).lay(checkout)

    (local / "deep/er/key").rename(local / "other")
    Overlays({FOLDER: local}).lay(checkout)
    assert set(contents(checkout)) == {f"{FOLDER}/README.md", f"{FOLDER}/other"}
    assert not (checkout / FOLDER / "deep").exists()

    Overlays({}).lay(checkout)
    assert set(contents(checkout)) == {f"{FOLDER}/README.md"}


def test_another_folder_takes_the_place_of_the_first(
    checkout: Path, local: Path, tmp_path: Path
) -> None:
    (local / "bot.env").write_text("old")
    Overlays({FOLDER: local}).lay(checkout)
    other = tmp_path / "other"
    other.mkdir()
    (other / "bot.env").write_text("new")

    Overlays({FOLDER: other}).lay(checkout)

    assert (checkout / FOLDER / "bot.env").read_text() == "new"


def test_a_tracked_file_of_the_same_name_is_an_error(
    checkout: Path, local: Path
) -> None:
    (local / "README.md").write_text("hunter2")
    (local / "bot.env").write_text("hunter2")

    with pytest.raises(OverlayError) as caught:
        Overlays({FOLDER: local}).lay(checkout)

    assert f"{FOLDER}/README.md" in str(caught.value)
    assert str(local / "README.md") in str(caught.value)
    assert "bot.env" not in str(caught.value)
    assert contents(checkout) == {f"{FOLDER}/README.md": "tracked"}


def test_nothing_is_written_through_a_link_of_the_repository(
    checkout: Path, local: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (checkout / "linked").symlink_to(elsewhere)
    (local / "key").write_text("x")

    with pytest.raises(OverlayError, match="linked/key"):
        Overlays({"linked": local}).lay(checkout)

    assert list(elsewhere.iterdir()) == []


def test_two_folders_with_one_file_are_an_error(checkout: Path, local: Path) -> None:
    (local / "deep").mkdir()
    (local / "deep/key").write_text("x")

    with pytest.raises(OverlayError, match="secrets/deep/key is both"):
        Overlays({FOLDER: local, f"{FOLDER}/deep": local / "deep"}).lay(checkout)


def test_a_folder_that_is_not_there_is_empty_and_told(
    checkout: Path, tmp_path: Path
) -> None:
    overlays = Overlays({FOLDER: tmp_path / "gone"})

    overlays.lay(checkout)

    assert overlays.problems() == [f"{tmp_path}/gone: No such file or directory"]
    assert overlays.fingerprint() == Overlays({FOLDER: tmp_path / "no"}).fingerprint()


def test_what_cannot_be_read_to_its_end_is_left_out(
    checkout: Path, local: Path
) -> None:
    os.mkfifo(local / "pipe")
    (local / "nowhere").symlink_to(local / "gone")
    (local / ".git").mkdir()
    (local / ".git/config").write_text("x")

    Overlays({FOLDER: local}).lay(checkout)

    assert names_in(checkout / FOLDER) == {"README.md", "nowhere"}


def test_without_folders_nothing_is_touched(checkout: Path) -> None:
    before = sorted(checkout.parent.rglob("*"))

    Overlays({}).lay(checkout)

    assert sorted(checkout.parent.rglob("*")) == before
    assert Overlays({}).fingerprint() == ""


def test_the_fingerprint_follows_every_change(local: Path) -> None:
    file = local / "bot.env"
    overlays = Overlays({FOLDER: local})
    seen = [overlays.fingerprint()]

    def changed() -> bool:
        seen.append(overlays.fingerprint())
        return seen[-1] not in seen[:-1]

    file.write_text("a")
    assert changed()
    assert not changed()
    file.write_text("b")
    os.utime(file, ns=(1, 1))
    assert changed()
    aside = local.parent / "aside"
    aside.write_text("c")
    os.utime(aside, ns=(1, 1))
    aside.replace(file)
    assert changed()
    file.rename(local / "other")
    assert changed()


def test_readers_never_miss_a_file_while_links_are_laid(
    checkout: Path, tmp_path: Path
) -> None:
    """An evaluation may read while another thread lays the folders again."""
    overlays = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(name)
        overlays.append(Overlays({FOLDER: tmp_path / name}))
    overlays[0].lay(checkout)

    def lay() -> None:
        for turn in range(100):
            overlays[turn % 2].lay(checkout)

    with ThreadPoolExecutor(2) as pool:
        layers = [pool.submit(lay) for _ in range(2)]
        while not all(layer.done() for layer in layers):
            assert (checkout / FOLDER / "key").read_text() in {"one", "two"}
            assert names_in(checkout / FOLDER) == {"README.md", "key"}
    for layer in layers:
        layer.result()


names = st.lists(
    st.sampled_from(["a", "b", "c/d", "c/e", "f/g/h"]), unique=True, max_size=5
)


@given(st.lists(names, min_size=1, max_size=4))
def test_whatever_was_there_only_the_last_counts(
    tmp_path_factory: pytest.TempPathFactory, states: list[list[str]]
) -> None:
    base = tmp_path_factory.mktemp("overlay")
    checkout = base / "commit/source"
    checkout.mkdir(parents=True)
    (checkout / "tracked").write_text("t")
    for number, state in enumerate(states):
        local = base / str(number)
        local.mkdir()
        for name in state:
            (local / name).parent.mkdir(parents=True, exist_ok=True)
            (local / name).write_text(str(number))
        Overlays({".": local}).lay(checkout)

    last = {name: str(len(states) - 1) for name in states[-1]}
    assert contents(checkout) == {"tracked": "t", **last}
    folders = {str(p.relative_to(checkout)) for p in checkout.rglob("*") if p.is_dir()}
    assert all(any(name.startswith(f"{f}/") for name in last) for f in folders)
