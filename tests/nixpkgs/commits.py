"""
Compares what is spared with evaluating everything, over a repository's last commits.

    python -m tests.nixpkgs.commits REPOSITORY --commits 50 --nix-path nixpkgs=/path
    python -m tests.nixpkgs.commits REPOSITORY --settings /etc/reconciler.yaml

Each commit is read as the daemon reads it, which remembers what it looked at before.
What it does not evaluate is evaluated nevertheless, by one that remembers nothing. Exit
status 1 if any answer differs. It needs what the repository needs: a real nixpkgs, its
inputs.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from reconciler.app import open_world
from reconciler.desired import Evaluator, to_json
from reconciler.errors import ReconcilerError
from reconciler.model import CommitId, Evaluated, HostName
from reconciler.revisions import Evaluations, Revision
from reconciler.settings import (
    Layout,
    NixSettings,
    RepositorySettings,
    Settings,
    StateSettings,
    load,
)
from reconciler.world import World
from tests.support.repository import git


def main(words: Sequence[str] | None = None) -> int:
    """Go over the commits, and print a line for each."""
    asked = _parser().parse_args(words)
    settings = _settings(asked)
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as state:
        kept = StateSettings(path=Path(state))
        settings = settings.model_copy(update={"state": kept})
        with open_world(settings) as world:
            world.mirror.fetch()
            for commit in _commits(asked.repository, asked.commits):
                told = Counter(_compared(world, commit, asked.host))
                total += told
                print(commit[:8], dict(sorted(told.items())), flush=True)  # noqa: T201
                world.mirror.prune(())
    print("all", dict(sorted(total.items())))  # noqa: T201
    return 1 if total["different"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository")
    parser.add_argument("--commits", type=int, default=50)
    parser.add_argument("--host", action="append", help="only these")
    parser.add_argument(
        "--settings",
        type=Path,
        help="read it by this file, but for url, branch and state; in place of what"
        " follows",
    )
    parser.add_argument("--nix-path", action="append", default=[])
    parser.add_argument("--option", action="append", nargs=2, default=[])
    parser.add_argument("--layout", default="auto")
    parser.add_argument("--entry", action="append", default=[])
    return parser


def _settings(asked: argparse.Namespace) -> Settings:
    branch = git(Path(asked.repository), "rev-parse", "--abbrev-ref", "HEAD")
    if asked.settings is not None:
        base = load(asked.settings)
        place = {"url": asked.repository, "branch": branch, "tag": None}
        repository = base.repository.model_copy(update=place)
        return base.model_copy(update={"repository": repository})
    nix = {"path": tuple(asked.nix_path), "options": dict(asked.option)}
    return Settings(
        repository=RepositorySettings(
            url=asked.repository,
            branch=branch,
            layout=Layout(asked.layout),
            entry=tuple(asked.entry),
        ),
        nix=NixSettings.model_validate(nix),
    )


def _commits(repository: str, count: int) -> list[str]:
    """Return the last commits, the oldest first."""
    argv = ["rev-list", "--first-parent", f"--max-count={count}", "HEAD"]
    return git(Path(repository), *argv).split()[::-1]


def _compared(world: World, name: str, only: list[str] | None) -> Iterator[str]:
    """Yield how each host was read, and whether that is what it evaluates to."""
    commit = world.mirror.resolve(CommitId(name))
    try:
        checkout = world.mirror.checkout(commit)
        world.overlays.lay(checkout)
        hosts = world.evaluator.hosts(checkout)
    except ReconcilerError as error:
        print(commit.short, str(error)[:200])  # noqa: T201
        yield "unreadable"
        return
    revision = Revision(
        commit=commit,
        checkout=checkout,
        hosts=hosts,
        seen_at=time.time(),  # noqa: TID251 -- a program of its own
    )
    for host in hosts:
        if only is None or host in only:
            yield _of_host(world, revision, host)


def _of_host(world: World, revision: Revision, host: HostName) -> str:
    try:
        desired = Evaluations(world).desired(revision, host)
    except ReconcilerError as error:
        print(revision.commit.short, host, str(error)[:200])  # noqa: T201
        return Evaluated.FAILED.value
    note = world.history.lookings.note_of(host)
    assert note is not None
    assert note.commit == revision.commit.id
    if note.result is not Evaluated.UNCHANGED:
        print(revision.commit.short, host, "; ".join(note.reasons))  # noqa: T201
        return note.result.value
    anew = Evaluator(world.settings).evaluate(revision.checkout, host)
    if to_json(anew) == to_json(desired):
        return note.result.value
    print(revision.commit.short, host, "DIFFERS from what it evaluates to")  # noqa: T201
    return "different"


if __name__ == "__main__":
    sys.exit(main())
