"""Checkouts that are made out of one of before: as if made from nothing, but fast."""

import random
import shutil
from pathlib import Path

import pytest

from reconciler.model import CommitId
from reconciler.source import Mirror
from tests.support.repository import (
    Repository,
    add_submodule,
    git,
    make_repository,
    mirror_of,
)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "outer")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def next_checkout(mirror: Mirror, before: CommitId | None = None) -> Path:
    """Look, check out, and keep two commits, as the daemon does."""
    commit = mirror.fetch()
    folder = mirror.checkout(commit)
    mirror.prune({one for one in (before, commit.id) if one})
    return folder


def tree(folder: Path) -> dict[str, tuple[int, str]]:
    """Return mode and content of everything in *folder*."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            content = str(path.readlink())
        else:
            content = path.read_text() if path.is_file() else ""
        found[str(path.relative_to(folder))] = (status.st_mode, content)
    return found


def fresh(repository: Repository, place: Path) -> dict[str, tuple[int, str]]:
    """Return what a checkout holds that is made from nothing."""
    shutil.rmtree(place, ignore_errors=True)
    mirror = mirror_of(repository, place)
    return tree(mirror.checkout(mirror.fetch()))


def change(work: Path, draw: random.Random) -> None:
    """Change something: files, links, modes, folders, and how files are written."""
    names = ["f", "a", "b", "a/b", "a/c", "d/e/f", "d/e/g", ".gitignore"]
    for _ in range(draw.randint(1, 4)):
        path = work / draw.choice(names)
        if any(parent.is_file() or parent.is_symlink() for parent in path.parents):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        match draw.choice(["text", "text", "program", "link", "gone"]):
            case "text":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(draw.choice(["one\n", "two\n", "two\nlines\n", "*\n"]))
            case "program":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("one\n")
                path.chmod(0o755)
            case "link":
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(draw.choice(["f", "../x", "/etc/passwd"]))
    if draw.random() < 0.2:
        (work / ".gitattributes").write_text(
            draw.choice(["* text eol=crlf\n", "f text eol=crlf\n", ""])
        )


@pytest.mark.parametrize("seed", range(3))
def test_what_is_made_of_another_checkout_is_the_same_as_from_nothing(
    repository: Repository, state: Path, tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)  # noqa: S311 -- no secret
    mirror = mirror_of(repository, state)
    before = None
    for number in range(14):
        change(repository.work, draw)
        git(repository.work, "add", "--all", "--force")
        head = CommitId(repository.commit_all(f"change {number}"))
        folder = next_checkout(mirror, before)

        assert tree(folder) == fresh(repository, tmp_path / "fresh"), number
        # Whatever is laid over it, or changed in it by hand, is not in the next one.
        (folder / "secret").symlink_to("/etc/passwd")
        (folder / "new/deep").mkdir(parents=True)
        (folder / "new/deep/x").touch()
        before = head


def test_files_that_did_not_change_are_not_written_again(
    repository: Repository, state: Path
) -> None:
    repository.commit(a="1\n", b="1\n")
    mirror = mirror_of(repository, state)
    folders = [next_checkout(mirror)]
    inodes = {(folders[0] / "a").stat().st_ino: 0}
    heads = [mirror.fetch().id]
    for number in (1, 2):
        repository.commit(b=f"{number}\n")
        folders.append(next_checkout(mirror, heads[-1]))
        heads.append(mirror.fetch().id)
    repository.commit(b="last\n")
    folder = next_checkout(mirror, heads[-1])

    assert (folder / "a").stat().st_ino in inodes
    assert (folder / "b").read_text() == "last\n"
    assert sorted(p.name for p in (state / "checkouts").iterdir()) == sorted(
        [".spare", folders[-1].parent.name, folder.parent.name]
    )


def test_a_file_that_was_changed_by_hand_is_put_right(
    repository: Repository, state: Path
) -> None:
    repository.commit(a="1\n", b="1\n")
    mirror = mirror_of(repository, state)
    folder = next_checkout(mirror)
    (folder / "a").write_text("by hand\n")
    (folder / "b").unlink()
    mirror.prune(())
    repository.commit(c="1\n")

    assert sorted(tree(next_checkout(mirror))) == ["a", "b", "c", "f"]
    assert (next_checkout(mirror) / "a").read_text() == "1\n"


def test_submodules_come_move_and_go(
    repository: Repository, state: Path, tmp_path: Path
) -> None:
    inner = make_repository(tmp_path / "inner")
    mirror = mirror_of(repository, state)
    next_checkout(mirror)

    def step() -> list[str]:
        mirror.prune(())
        found = tree(next_checkout(mirror))
        assert found == fresh(repository, tmp_path / "fresh")
        return list(found)

    add_submodule(repository, str(inner.path), "sub")
    assert step() == [".gitmodules", "f", "sub", "sub/f"]
    inner.commit(g="1\n")
    git(inner.work, "rm", "--quiet", "f")
    moved = inner.commit_all()
    git(repository.work, "update-index", "--cacheinfo", f"160000,{moved},sub")
    git(repository.work, "commit", "--quiet", "--message", "move")
    assert step() == [".gitmodules", "f", "sub", "sub/g"]
    (repository.work / ".gitmodules").write_text("")
    git(repository.work, "commit", "--quiet", "--all", "--message", "undescribed")
    assert step() == [".gitmodules", "f", "sub"]
    git(repository.work, "rm", "--quiet", "--cached", "sub")
    git(repository.work, "commit", "--quiet", "--message", "gone")
    assert step() == [".gitmodules", "f"]


@pytest.mark.parametrize("damage", ["index", "commit", "other"])
def test_a_spare_that_cannot_be_used_costs_nothing_but_time(
    repository: Repository, state: Path, damage: str
) -> None:
    mirror = mirror_of(repository, state)
    next_checkout(mirror)
    mirror.prune(())
    spare = state / "checkouts/.spare"
    match damage:
        case "index":
            (spare / "index").write_bytes(b"DIRC\0\0\0\2")
        case "commit":
            (spare / "commit").write_text("1" * 40)
        case "other":
            (spare / "complete").write_text("another boot")
    repository.commit(f="2\n")

    assert tree(next_checkout(mirror))["f"][1] == "2\n"
