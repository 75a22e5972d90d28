"""The mirror after a crash: whatever was left half-made is found out and made anew."""

import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest

from reconciler.errors import SourceError
from reconciler.settings import RepositorySettings
from reconciler.source import Mirror
from tests.support.repository import (
    Repository,
    add_submodule,
    checked_out,
    contents,
    git,
    make_repository,
    mirror_of,
)
from tests.support.wait import wait_until

# Each process that is to be killed begins where this module is loaded already.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])
# A git in front of git: it counts its calls, and at the one that is wanted kills the
# process that called it and itself, in the middle of it or after it.
STRIKER = """#!/bin/sh
echo >>"$COUNT"
[ "$(wc -l <"$COUNT")" = "$STRIKE" ] || exec "$GIT" "$@"
case $HOW in
  after) "$GIT" "$@" ;;
  during) "$GIT" "$@" & sleep "0.00$(($$ % 10))"; kill -9 $! ;;
esac
kill -9 $PPID $$
"""


def look(url: str, state: Path, environment: dict[str, str]) -> None:
    """Do all that a look at a repository does, as a process of its own."""
    os.environ.update(environment)
    mirror = Mirror(RepositorySettings(url=url), state=state)
    commit = mirror.fetch()
    mirror.checkout(commit)
    mirror.prune({commit.id})


@pytest.fixture
def normal(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "outer")


@pytest.fixture
def whole(normal: Repository, tmp_path: Path) -> Repository:
    """Return a repository with a submodule."""
    add_submodule(normal, str(make_repository(tmp_path / "inner").path))
    return normal


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


# --- what lies there -------------------------------------------------------------


@pytest.mark.parametrize(
    "left",
    [
        "refs/heads/main.lock",
        "logs/refs/heads/main.lock",
        "HEAD.lock",
        "config.lock",
        "packed-refs.lock",
        "shallow.lock",
        "objects/info/commit-graph.lock",
    ],
)
def test_a_lock_of_a_git_that_was_killed_stops_nobody(
    normal: Repository, state: Path, left: str
) -> None:
    mirror = mirror_of(normal, state)
    mirror.fetch()
    lock = state / "mirror.git" / left
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    head = normal.commit(f="2\n")

    assert mirror.fetch().id == head
    assert not lock.exists()


def test_a_git_killed_while_it_moves_the_branch(
    normal: Repository, state: Path
) -> None:
    """The reflog is written under the lock of the branch: there git is made to wait."""
    mirror = mirror_of(normal, state)
    mirror.fetch()
    head = normal.commit(f="2\n")
    log = state / "mirror.git/logs/refs/heads/main"
    log.unlink()
    os.mkfifo(log)
    process = PROCESSES.Process(target=look, args=(normal.url, state, {}))
    process.start()
    lock = state / "mirror.git/refs/heads/main.lock"
    wait_until(lock.exists, 20, "git to lock the branch")
    pid = process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    process.kill()
    process.join()
    for child in children:  # each git leads a session of its own
        os.killpg(int(child), signal.SIGKILL)
    log.unlink()
    assert lock.exists()

    assert mirror.fetch().id == head


def test_packs_that_were_half_written_do_not_pile_up(
    normal: Repository, state: Path
) -> None:
    mirror = mirror_of(normal, state)
    mirror.fetch()
    pack = state / "mirror.git/objects/pack"
    left = [pack / "tmp_pack_x", pack / "pack-1.keep", pack.parent / "12/tmp_obj_x"]
    for file in left:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    normal.commit(f="2\n")
    mirror.fetch()

    assert not [file for file in left if file.exists()]


def test_the_branch_may_take_the_place_of_a_folder_of_branches(
    normal: Repository, state: Path
) -> None:
    git(normal.work, "branch", "release")
    mirror_of(normal, state, branch="release").fetch()
    git(normal.work, "branch", "--delete", "release")
    git(normal.work, "branch", "release/1")

    assert mirror_of(normal, state, branch="release/1").fetch().subject == "first"


@pytest.mark.parametrize("damage", ["half-made", "objects", "lock", "no folder"])
def test_what_is_kept_of_a_submodule_is_made_anew(
    whole: Repository, state: Path, damage: str
) -> None:
    checkout = checked_out(whole, state)
    (kept,) = (state / "modules").glob("*.git")
    shutil.rmtree(checkout.parent)
    match damage:
        case "half-made":
            shutil.rmtree(kept)
            kept.mkdir()
        case "objects":
            blob = git(whole.work / "sub", "rev-parse", "HEAD:f")
            (kept / f"objects/{blob[:2]}/{blob[2:]}").unlink()
            with pytest.raises(SourceError, match="submodule sub: "):
                checked_out(whole, state)
        case "lock":
            git(
                kept,
                "update-ref",
                "-d",
                git(kept, "for-each-ref", "--format=%(refname)"),
            )
            shutil.rmtree(kept / "objects")
            (kept / "objects").mkdir()
            (kept / "packed-refs.lock").touch()
        case "no folder":
            shutil.rmtree(kept)
            kept.touch()

    assert contents(checked_out(whole, state))["sub/f"] == "1\n"


# --- strikes ---------------------------------------------------------------------


def struck(repository: Repository, state: Path, place: Path, how: str, at: int) -> bool:
    """Look at *repository* and be killed at git call *at*; say whether that came."""
    count = place / "count"
    count.write_text("")
    environment = {
        "PATH": f"{place}:{os.environ['PATH']}",
        "GIT": str(shutil.which("git")),
        "COUNT": str(count),
        "STRIKE": str(at),
        "HOW": how,
    }
    args = (repository.url, state, environment)
    process = PROCESSES.Process(target=look, args=args)
    process.start()
    process.join(60)
    assert process.exitcode in {0, -9}
    return process.exitcode != 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("how", "first"),
    [
        pytest.param("during", True, id="first-during"),
        pytest.param("after", True, id="first-after", marks=pytest.mark.matrix),
        pytest.param("during", False, id="later-during", marks=pytest.mark.matrix),
        pytest.param("after", False, id="later-after"),
    ],
)
def test_whichever_git_is_killed_the_next_look_is_whole(
    whole: Repository, state: Path, tmp_path: Path, how: str, *, first: bool
) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    (place / "git").write_text(STRIKER)
    (place / "git").chmod(0o755)
    at = 0
    going_on = True
    while going_on:
        at += 1
        if first:
            shutil.rmtree(state, ignore_errors=True)
        head = whole.commit(f=f"{at}\n")
        going_on = struck(whole, state, place, how, at)

        mirror = mirror_of(whole, state)
        commit = mirror.fetch()
        folder = mirror.checkout(commit)
        mirror.prune({commit.id})

        assert commit.id == head, at
        found = contents(folder)
        assert (found["f"], found["sub/f"]) == (f"{at}\n", "1\n"), at
        places = (state / "checkouts").iterdir()
        names = {place.name for place in places} - {".spare"}
        assert names == {folder.parent.name}, at
        assert folder.parent.name.startswith(head), at
    assert at > 5
