"""Tags in place of a branch, and fall-backs of a repository, with real git."""

import shutil
import threading
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reconciler.errors import SourceError
from reconciler.settings import RepositorySettings
from reconciler.source import Mirror, Watcher
from reconciler.source.heads import Followed, Head
from reconciler.source.network import Remote
from tests.adapters.test_source import contents
from tests.support.repository import Repository, git, make_repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path, bare=True)


def tag(repository: Repository, name: str, *options: str) -> str:
    """Commit, tag that, and push; return the commit."""
    commit = repository.commit(f"for {name}", f=f"{name}\n")
    git(repository.work, "tag", *options, name)
    repository.push()
    return commit


def following(repository: Repository, state: Path, pattern: str) -> Mirror:
    return Mirror(RepositorySettings(url=repository.url, tag=pattern), state=state)


# --- tags ------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("-a", "-m", "a release")])
def test_the_newest_tag_by_version_is_followed(
    repository: Repository, tmp_path: Path, options: tuple[str, ...]
) -> None:
    mirror = following(repository, tmp_path / "state", "v*")
    released = tag(repository, "v1.9", *options)
    tag(repository, "w2", *options)
    assert (mirror.fetch().id, mirror.fetch().branch) == (released, "v1.9")

    released = tag(repository, "v1.10", *options)
    repository.commit("not released", f="x\n")
    # Made later, and yet older.
    tag(repository, "v1.10-rc1", *options)
    tag(repository, "v1.9.1", *options)

    commit = mirror.fetch()
    assert (commit.id, commit.branch) == (released, "v1.10")
    assert mirror.resolve("v*") == commit
    assert mirror.is_merged(commit)
    assert contents(mirror.checkout(commit)) == {"f": "v1.10\n"}


@pytest.mark.parametrize("options", [(), ("-a", "-m", "a release")])
def test_a_correction_of_a_release_is_newer_than_it(
    repository: Repository, tmp_path: Path, options: tuple[str, ...]
) -> None:
    tag(repository, "v1.10", *options)
    corrected = tag(repository, "v1.10.1", *options)
    tag(repository, "v1.10.1-rc1", *options)

    commit = following(repository, tmp_path / "state", "v*").fetch()

    assert (commit.id, commit.branch) == (corrected, "v1.10.1")


def test_a_tag_that_moves_is_followed(repository: Repository, tmp_path: Path) -> None:
    mirror = following(repository, tmp_path / "state", "prod")
    tag(repository, "prod")
    mirror.fetch()

    moved = tag(repository, "prod", "--force")

    assert mirror.fetch().id == moved


def test_no_tag_yet_is_said(repository: Repository, tmp_path: Path) -> None:
    mirror = following(repository, tmp_path / "state", "v*")
    with pytest.raises(SourceError, match=r"has no tag 'v\*', nor any other"):
        mirror.fetch()

    tag(repository, "w1")
    tag(repository, "release-2")
    with pytest.raises(SourceError, match=r"no tag 'v\*'; there are: release-2, w1"):
        mirror.fetch()


def test_a_tag_that_is_pushed_is_noticed_at_once(repository: Repository) -> None:
    noticed = threading.Event()
    watcher = Watcher(repository.path, noticed.set, refs="tags")
    watcher.start()
    try:
        git(repository.path, "tag", "v1", "main")

        assert noticed.wait(20)
    finally:
        watcher.stop()


# --- fall-backs ------------------------------------------------------------------


class Places:
    """A repository, a copy of it elsewhere, and a mirror that knows both."""

    def __init__(self, folder: Path, repository: Repository) -> None:
        self.repository = repository
        self.copy = folder / "copy.git"
        self.update()
        self.mirror = Mirror(
            RepositorySettings(
                url=repository.url, fallbacks=(f"{folder}/none", str(self.copy))
            ),
            state=folder / "state",
        )

    def update(self) -> None:
        """Bring the copy up to date."""
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.repository.path, self.copy)

    def hide(self) -> None:
        """Take the repository itself away."""
        self.repository.path.rename(f"{self.repository.path}.away")

    def show(self) -> None:
        """Bring it back."""
        Path(f"{self.repository.path}.away").rename(self.repository.path)


@pytest.fixture
def places(tmp_path: Path, repository: Repository) -> Places:
    return Places(tmp_path, repository)


def test_a_fall_back_is_read_while_the_repository_is_away(places: Places) -> None:
    places.mirror.fetch()
    newer = places.repository.commit("newer", f="2\n")
    places.update()
    places.hide()

    assert places.mirror.fetch().id == newer
    told = places.mirror.fallback
    assert "there is nothing at this path" in told
    assert told.endswith(f"read from the fall-back {places.copy} meanwhile")

    places.show()
    assert places.mirror.fetch().id == newer
    assert places.mirror.fallback == ""


def test_a_fall_back_is_read_at_the_very_first_look(places: Places) -> None:
    head = git(places.repository.work, "rev-parse", "HEAD")
    places.hide()

    assert places.mirror.fetch().id == head


@pytest.mark.parametrize("how", ["behind", "beside"])
def test_a_fall_back_never_takes_back_what_was_seen(places: Places, how: str) -> None:
    seen = places.repository.commit("seen", f="2\n")
    places.mirror.fetch()
    if how == "beside":
        git(places.repository.work, "reset", "--quiet", "--hard", "HEAD~1")
        places.repository.commit("of another history", f="3\n")
        places.update()
    places.hide()

    with capture_logs() as logs:
        assert places.mirror.fetch().id == seen

    assert any("is not followed" in entry["event"] for entry in logs)
    assert places.mirror.fallback


def test_a_repository_that_asks_to_wait_is_left_alone_meanwhile(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = places.mirror.fetch().id
    busy = SourceError("429 Too Many Requests", retry_after=3600.0)
    asked: list[str] = []
    ask = Followed.at

    def at(followed: Followed, remote: Remote) -> Head:
        asked.append(remote.url)
        if remote.url == places.repository.url:
            raise busy
        return ask(followed, remote)

    monkeypatch.setattr(Followed, "at", at)
    for _ in range(2):
        assert places.mirror.fetch().id == head
        assert "429" in places.mirror.fallback

    assert asked.count(places.repository.url) == 1
    later = time.monotonic() + 3601.0
    monkeypatch.setattr(time, "monotonic", lambda: later)
    places.mirror.fetch()
    assert asked.count(places.repository.url) == 2


def test_where_nothing_can_be_read_each_place_is_told(places: Places) -> None:
    places.mirror.fetch()
    places.hide()
    shutil.rmtree(places.copy)

    with pytest.raises(SourceError) as caught:
        places.mirror.fetch()

    told = str(caught.value)
    assert all(name in told for name in ("repository.git", "/none", "copy.git"))
    assert places.mirror.fallback == ""


def test_a_branch_that_was_deleted_is_not_looked_for_elsewhere(places: Places) -> None:
    """The repository answers: that is no outage."""
    places.hide()
    places.mirror.fetch()
    assert places.mirror.fallback

    places.show()
    places.repository.delete_branch("main")

    with pytest.raises(SourceError, match="has no branch"):
        places.mirror.fetch()
    assert places.mirror.fallback == ""
