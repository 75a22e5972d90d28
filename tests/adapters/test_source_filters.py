"""Files that a repository keeps in another form: named, and fetched out of LFS."""

import shutil
from pathlib import Path

import pytest

from reconciler.errors import SourceError
from reconciler.source import filters, notes_of
from tests.support.repository import (
    Repository,
    add_submodule,
    checked_out,
    contents,
    git,
    make_repository,
)

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
with_lfs = pytest.mark.skipif(not filters.has_lfs(), reason="there is no git-lfs")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "outer")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def without_lfs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "has_lfs", lambda: False)


def attributes(repository: Repository, *lines: str) -> None:
    (repository.work / ".gitattributes").write_text("".join(f"{x}\n" for x in lines))


@pytest.mark.usefixtures("without_lfs")
def test_pointers_into_lfs_are_named(repository: Repository, state: Path) -> None:
    attributes(repository, "*.bin filter=lfs diff=lfs merge=lfs -text")
    repository.commit(**{"a.bin": POINTER, "b.bin": POINTER, "c.bin": "really\n"})

    (note,) = notes_of(checked_out(repository, state))

    assert note == (
        "a.bin and 1 more: as git keeps them, since the filter lfs does not run here;"
        " install git-lfs where the reconciler runs"
    )


def test_files_that_git_crypt_locked_are_named(
    repository: Repository, state: Path
) -> None:
    (repository.work / "keys").mkdir()
    (repository.work / "keys/.gitattributes").write_text(
        "[attr]locked filter=git-crypt diff=git-crypt\n*.key locked\n"
    )
    attributes(repository, "[attr]locked filter=git-crypt", "*.key locked")
    for name, start in (("open", b""), ("locked", b"\0GITCRYPT\0")):
        (repository.work / f"keys/{name}.key").write_bytes(start + b"secret")
    repository.commit_all()

    (note,) = notes_of(checked_out(repository, state))

    assert note.startswith("keys/locked.key: as git keeps them, since the filter git-c")
    assert "repository.secrets" in note


def test_any_filter_that_does_not_run_is_named(
    repository: Repository, state: Path, tmp_path: Path
) -> None:
    inner = make_repository(tmp_path / "inner")
    attributes(inner, "*.x filter=mine")
    inner.commit(**{"a.x": "1\n"})
    add_submodule(repository, str(inner.path))

    (note,) = notes_of(checked_out(repository, state))

    assert note.startswith("submodule sub: a.x: as git keeps them, since the filter mi")


def test_where_every_file_is_itself_nothing_is_said(
    repository: Repository, state: Path
) -> None:
    attributes(repository, "*.sh text eol=lf", "# *.x filter=mine", "*.y -filter")
    repository.commit(**{"a.x": "1\n", "a.y": "1\n", "a.sh": "1\n"})

    assert notes_of(checked_out(repository, state)) == ()


@with_lfs
def test_what_is_in_lfs_is_fetched(
    repository: Repository, state: Path, tmp_path: Path
) -> None:
    git(repository.work, "lfs", "install", "--local")
    attributes(repository, "*.bin filter=lfs diff=lfs merge=lfs -text")
    repository.commit(**{"a.bin": "large\n", "b.bin": "large too\n"})
    assert "oid sha256" in git(repository.work, "show", "HEAD:a.bin")

    folder = checked_out(repository, state)
    assert contents(folder)["a.bin"] == "large\n"
    assert notes_of(folder) == ()

    repository.commit(**{"a.bin": "larger\n"})
    shutil.move(repository.path / ".git/lfs", tmp_path / "lfs")
    with pytest.raises(SourceError, match=r"cannot be read: .*(lfs|object)"):
        checked_out(repository, state)
    shutil.rmtree(repository.path / ".git/lfs", ignore_errors=True)
    shutil.move(tmp_path / "lfs", repository.path / ".git/lfs")
    found = contents(checked_out(repository, state))
    assert (found["a.bin"], found["b.bin"]) == ("larger\n", "large too\n")


def test_with_git_lfs_installed_later_a_checkout_is_made_anew(
    repository: Repository, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "has_lfs", lambda: False)
    folder = checked_out(repository, state)
    (folder / "mark").touch()
    assert "mark" in contents(checked_out(repository, state))
    monkeypatch.setattr(filters, "has_lfs", lambda: True)

    assert "mark" not in contents(checked_out(repository, state))
