"""What attempts brought: kept in the database, told in messages, read from git."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import SourceError
from reconciler.history import History
from reconciler.history.letters import PATIENCE
from reconciler.messages import Kind, Letter, Message, Telling
from reconciler.model import (
    Attempt,
    Brought,
    BroughtCommit,
    CommitId,
    CommitRange,
    HostName,
    PackageChange,
    PackageKind,
    Restart,
    StorePath,
    SystemDiff,
    UnitName,
    Verdict,
)
from reconciler.settings import RepositorySettings
from reconciler.source import Mirror
from tests.support.places import Place

SELDOM_POSTGRESQL = True

COMMIT = BroughtCommit(id=CommitId("c" * 40), subject="Newer openssl", author="Ann")
WHOLE = Brought(
    range=CommitRange(
        before=CommitId("b" * 40), commits=(COMMIT,), count=12, undone=(COMMIT,)
    ),
    restarts=(Restart(unit=UnitName("nginx.service"), seconds=1.25),),
    packages=SystemDiff(
        before=StorePath("/nix/store/old"),
        after=StorePath("/nix/store/new"),
        packages=(
            PackageChange(
                name="openssl",
                kind=PackageKind.UPGRADED,
                before=("3.0.13",),
                after=("3.0.14",),
                restarts=(UnitName("nginx.service"),),
            ),
        ),
        rebuilt=3,
        added=20,
        kernel=("6.6.1", "6.6.2"),
    ),
)


@pytest.fixture
def history(place: Place) -> Iterator[History]:
    with place.opened() as history:
        yield history


def begin(history: History) -> Attempt:
    return history.begin(
        host=HostName("lufta"),
        commit=COMMIT.id,
        verdict=Verdict.DEPLOY,
        source=StorePath("/nix/store/old"),
        target=StorePath("/nix/store/new"),
        now=0,
    )


def tell(history: History, attempt: Attempt, kind: Kind = Kind.DEPLOYED) -> None:
    message = Message(
        key=kind.value, kind=kind, at=100.0, host="lufta", attempt=attempt.id
    )
    telling = Telling(
        told=kind.value, letters=(Letter(target="phone", message=message),)
    )
    assert history.outbox.tell("lufta", lambda _: telling)


def test_what_is_kept_is_what_was_found(history: History) -> None:
    attempt = begin(history)
    history.brought.save(attempt.id, Brought(pending=True))
    assert history.brought.pending() == [attempt.id]

    history.brought.save(attempt.id, WHOLE)

    assert history.brought.of(attempt.id) == WHOLE
    assert history.brought.pending() == []


def test_of_an_attempt_that_brought_nothing_nothing_is_kept(history: History) -> None:
    assert history.brought.of(begin(history).id) is None


def test_a_message_of_a_deployment_waits_a_while_for_what_it_brought(
    history: History,
) -> None:
    attempt = begin(history)
    history.brought.save(attempt.id, Brought(pending=True))

    tell(history, attempt)

    (letter,) = history.outbox.waiting("phone")
    assert letter.next_at == 100.0 + PATIENCE
    history.brought.save(attempt.id, WHOLE, told="openssl 3.0.13 → 3.0.14")
    (letter,) = history.outbox.waiting("phone")
    assert (letter.next_at, letter.message.text) == (0.0, "openssl 3.0.13 → 3.0.14")


def test_a_message_that_comes_later_says_it_at_once(history: History) -> None:
    attempt = begin(history)
    history.brought.save(attempt.id, WHOLE, told="openssl 3.0.13 → 3.0.14")

    tell(history, attempt)

    (letter,) = history.outbox.waiting("phone")
    assert (letter.next_at, letter.message.text) == (0.0, "openssl 3.0.13 → 3.0.14")


def test_other_messages_do_not_wait(history: History) -> None:
    attempt = begin(history)
    history.brought.save(attempt.id, Brought(pending=True))

    tell(history, attempt, Kind.ROLLED_BACK)

    (letter,) = history.outbox.waiting("phone")
    assert letter.next_at == 0.0


# --- commits ---------------------------------------------------------------------


@pytest.fixture
def commits(tmp_path: Path) -> tuple[Path, list[CommitId]]:
    """Make a repository with thirteen commits."""
    place = tmp_path / "repository"
    git(place.parent, "init", "-q", "-b", "main", str(place))
    for number in range(13):
        git(place, "commit", "-q", "--allow-empty", "-m", f"Change {number}\n\nMore")
    ids = git(place, "rev-list", "--reverse", "main").split()
    return place, list(map(CommitId, ids))


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=Ann O'Nym", "-c", "user.email=ann@localhost")
    argv = ["git", "-C", str(folder), *who, *words]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


@pytest.fixture
def mirror(commits: tuple[Path, list[CommitId]], tmp_path: Path) -> Mirror:
    settings = RepositorySettings(url=str(commits[0]), branch="main")
    mirror = Mirror(settings, state=tmp_path / "state")
    mirror.fetch()
    return mirror


def test_twelve_commits_are_twelve_newest_first(
    mirror: Mirror, commits: tuple[Path, list[CommitId]]
) -> None:
    ids = commits[1]

    found, count = mirror.between(ids[0], ids[-1], limit=100)

    assert count == 12
    assert [one.id for one in found] == ids[:0:-1]
    assert (found[0].subject, found[0].author) == ("Change 12", "Ann O'Nym")
    few, count = mirror.between(ids[0], ids[-1], limit=3)
    assert ([one.id for one in few], count) == (ids[:-4:-1], 12)
    assert mirror.between(ids[-1], ids[0], limit=100) == ([], 0)


def test_a_commit_that_is_not_known_is_an_error_and_not_none(
    mirror: Mirror, commits: tuple[Path, list[CommitId]]
) -> None:
    with pytest.raises(SourceError, match=r"0{8}\.\."):
        mirror.between(CommitId("0" * 40), commits[1][-1], limit=100)
