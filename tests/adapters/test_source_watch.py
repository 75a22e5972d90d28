"""The watcher, against real repositories and the system's own file events."""

import contextlib
import os
import queue
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.source import Watcher
from tests.support.wait import within

IDENTITY = {
    "GIT_AUTHOR_NAME": "Ann Author",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Carl",
    "GIT_COMMITTER_EMAIL": "carl@example.org",
}


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", "-C", folder, *args],
        env={**os.environ, **IDENTITY},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@dataclass
class Calls:
    """What the watcher said, as it says it."""

    said: "queue.Queue[float]" = field(default_factory=queue.Queue)

    def __call__(self) -> None:
        """Be the watcher's listener."""
        self.said.put(time.monotonic())

    def one(self, seconds: float = 20) -> float:
        """Return when it was said, waiting for it."""
        return self.said.get(timeout=seconds)

    def is_silent(self, seconds: float) -> bool:
        """Say whether nothing is said for *seconds*."""
        with contextlib.suppress(queue.Empty):
            self.said.get(timeout=seconds)
            return False
        return True

    def drain(self) -> None:
        """Wait until nothing more is said."""
        while not self.is_silent(0.3):
            pass


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(work))
    git(work, "commit", "--quiet", "--allow-empty", "--message", "first")
    return work


@pytest.fixture(params=["bare", "normal", "linked"])
def path(request: pytest.FixtureRequest, work: Path, tmp_path: Path) -> Path:
    if request.param == "bare":
        git(tmp_path, "clone", "--quiet", "--bare", str(work), "bare.git")
        return tmp_path / "bare.git"
    if request.param == "linked":
        git(work, "worktree", "add", "--quiet", str(tmp_path / "linked"))
        return tmp_path / "linked"
    return work


@contextlib.contextmanager
def watching(path: Path) -> Iterator[Calls]:
    calls = Calls()
    watcher = Watcher(path, calls)
    watcher.start()
    try:
        yield calls
    finally:
        watcher.stop()


def push(work: Path, path: Path, branch: str = "main") -> None:
    git(work, "commit", "--quiet", "--allow-empty", "--message", "next")
    if path.suffix == ".git":
        git(work, "push", "--quiet", str(path), f"HEAD:refs/heads/{branch}")
    elif branch != "main":
        git(work, "branch", "--force", branch)


def test_each_push_is_told(path: Path, work: Path) -> None:
    with watching(path) as calls:
        for _ in range(5):
            push(work, path)
            calls.one()


def test_a_push_to_a_branch_in_a_new_folder_is_told(path: Path, work: Path) -> None:
    with watching(path) as calls:
        for branch in ("team/a/prod", "team/a/test", "team/b/prod"):
            push(work, path, branch)
            calls.one()
            calls.drain()


def test_packing_the_refs_and_pushing_on_is_told(path: Path, work: Path) -> None:
    with watching(path) as calls:
        push(work, path)
        calls.one()
        git(path, "pack-refs", "--all")
        calls.drain()
        push(work, path)
        calls.one()


def test_a_deleted_branch_is_told(path: Path, work: Path) -> None:
    git(work, "branch", "other")
    push(work, path, "other")
    with watching(path) as calls:
        git(path, "update-ref", "-d", "refs/heads/other")
        calls.one()


def test_what_is_no_ref_makes_no_noise(work: Path) -> None:
    with watching(work) as calls:
        (work / "file").write_text("not committed")
        git(work, "add", "file")
        git(work, "stash", "--quiet")
        (work / ".git/refs/heads/main.lock").write_text("half a push")

        assert calls.is_silent(1.5)  # longer than it takes to look by itself


def test_a_repository_that_is_deleted_and_made_again(
    path: Path, work: Path, tmp_path: Path
) -> None:
    with watching(path) as calls:
        path.rename(tmp_path / "away.git")
        calls.one()
        calls.drain()
        (tmp_path / "away.git").rename(path)
        calls.one()
        calls.drain()
        if path.name == "work":
            work = path
        push(work, path)
        calls.one()


def test_a_repository_that_does_not_exist_yet(work: Path, tmp_path: Path) -> None:
    path = tmp_path / "srv/git/new.git"
    with watching(path) as calls:
        path.parent.mkdir(parents=True)
        git(tmp_path, "clone", "--quiet", "--bare", str(work), str(path))
        calls.one()
        calls.drain()
        push(work, path)
        calls.one()


def test_a_repository_whose_folder_is_replaced(work: Path, tmp_path: Path) -> None:
    """Another repository takes the name at once, as restoring a backup would."""
    path = tmp_path / "a.git"
    for name in ("a.git", "b.git"):
        git(tmp_path, "clone", "--quiet", "--bare", str(work), name)
    with watching(path) as calls:
        shutil.rmtree(path)
        (tmp_path / "b.git").rename(path)
        calls.one()
        calls.drain()
        push(work, path)
        calls.one()


def test_a_listener_that_fails_is_called_again(work: Path) -> None:
    calls = Calls()

    def listener() -> None:
        calls()
        raise ZeroDivisionError

    watcher = Watcher(work, listener)
    watcher.start()
    try:
        for _ in range(2):
            push(work, work)
            calls.one()
    finally:
        watcher.stop()


@pytest.mark.parametrize("exists", [True, False])
def test_stop_ends_promptly(work: Path, tmp_path: Path, *, exists: bool) -> None:
    watcher = Watcher(work if exists else tmp_path / "absent", lambda: None)
    watcher.start()

    with within(0.5):
        watcher.stop()


def test_stop_before_start_is_allowed(work: Path) -> None:
    Watcher(work, lambda: None).stop()


def test_without_file_events_it_looks_by_itself(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may have no more watches to give."""

    def refuse(*_folders: Path, **_options: object) -> Iterator[None]:
        raise OSError(28, "OS file watch limit reached")

    monkeypatch.setattr("reconciler.source.watch.watch", refuse)
    with watching(work) as calls:
        push(work, work)
        calls.one()
