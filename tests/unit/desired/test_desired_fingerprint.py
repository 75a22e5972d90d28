"""What an evaluation depends on besides the commit."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.desired import fingerprint


def nixpkgs(folder: Path) -> Path:
    for name in ("lib/default.nix", "nixos/lib/eval-config.nix", ".version"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    git = folder / ".git"
    (git / "refs/heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "refs/heads/main").write_text("1" * 40)
    (git / "index").write_text("")
    return folder


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    "change",
    [
        write("lib/default.nix", "more than was here before"),
        write("lib/new.nix", ""),
        lambda folder: (folder / "lib/default.nix").unlink(),
        lambda folder: os.utime(folder / "lib/default.nix", (1, 1)),
        write(".git/refs/heads/main", "2" * 40),
        write(".git/HEAD", "2" * 40),
        write(".git/packed-refs", "2" * 40),
        write(".git/index", "something staged"),
        write(".version", "25.11"),
    ],
)
def test_a_change_of_a_folder_is_noticed(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    folder = nixpkgs(tmp_path)
    before = fingerprint.of_entry(f"nixpkgs={folder}")
    assert fingerprint.of_entry(f"nixpkgs={folder}") == before

    change(folder)

    assert fingerprint.of_entry(f"nixpkgs={folder}") != before


def test_a_commit_is_noticed_in_a_folder_too_large_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "WALK_LIMIT", 0)
    folder = nixpkgs(tmp_path)
    before = fingerprint.of_place(folder)

    (folder / ".git/refs/heads/main").write_text("2" * 40)

    assert fingerprint.of_place(folder) != before


def test_a_commit_is_noticed_in_a_linked_work_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "WALK_LIMIT", 0)
    main = nixpkgs(tmp_path / "main")
    private = main / ".git/worktrees/w"
    private.mkdir(parents=True)
    (private / "HEAD").write_text("ref: refs/heads/main\n")
    (private / "index").write_text("")
    (private / "commondir").write_text("../..\n")
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / ".git").write_text(f"gitdir: {private}\n")
    before = fingerprint.of_place(linked)

    (main / ".git/refs/heads/main").write_text("3" * 40)

    assert fingerprint.of_place(linked) != before


def test_a_symlink_stands_for_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    link = tmp_path / "channel"
    link.symlink_to("old")
    before = fingerprint.of_entry(f"nixpkgs={link}")

    link.unlink()
    link.symlink_to("new")

    assert fingerprint.of_entry(f"nixpkgs={link}") != before


def test_the_store_never_changes() -> None:
    path = Path("/nix/store/00000000000000000000000000000000-source")

    assert fingerprint.of_place(path) == ""


def test_a_place_that_is_not_there_is_survived(tmp_path: Path) -> None:
    assert fingerprint.of_entry(f"nixpkgs={tmp_path}/nothing")


def test_addresses_stand_for_themselves() -> None:
    entry = "nixpkgs=https://example.org/nixpkgs.tar.gz"

    assert fingerprint.of_entry(entry) == entry
    assert fingerprint.of_entry("nixpkgs=channel:nixos-25.05").endswith("25.05")


def test_nix_path_is_split_at_colons_but_not_in_addresses() -> None:
    url = "nixpkgs=https://example.org/x"

    assert fingerprint.of_search_path((), f"a=:{url}:b=") == ["a=", url, "b="]


def test_without_nix_path_the_channels_count() -> None:
    channels = fingerprint.of_search_path((), None)

    assert channels
    assert fingerprint.of_search_path((), "") == []


def test_our_own_files_count(tmp_path: Path) -> None:
    (tmp_path / "nix").mkdir()
    (tmp_path / "nix/facts.nix").write_text("{ }")
    before = fingerprint.of_package(tmp_path)

    (tmp_path / "units.py").write_text("")
    with_python = fingerprint.of_package(tmp_path)
    (tmp_path / "nix/facts.nix").write_text("{ a = 1; }")

    assert len({before, with_python, fingerprint.of_package(tmp_path)}) == 3


def test_a_folder_is_looked_through_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every pass over every host asks, and it takes a twentieth of a second."""
    folder = nixpkgs(tmp_path)
    looked = []
    real = fingerprint.of_place

    def count(path: Path) -> str:
        looked.append(path)
        return real(path)

    monkeypatch.setattr(fingerprint, "of_place", count)
    time = 0.0
    path = fingerprint.SearchPath([f"nixpkgs={folder}"], clock=lambda: time)
    before = path.now("")
    for _ in range(10):
        assert path.now("") == before
    assert len(looked) == 1

    (folder / "lib/default.nix").write_text("changed, and is about to be evaluated")
    assert path.now("") == before
    after = path.now("", fresh=True)
    assert after != before
    assert path.now("") == after
    (folder / "lib/default.nix").write_text("changed once more")
    time += fingerprint.FRESH_SECONDS
    assert path.now("") not in (before, after)
    assert path.now("/elsewhere") != path.now("")
