"""What a push costs that changes none of a hundred hosts, and one that changes one."""

import time
from pathlib import Path

from reconciler.app import open_world
from reconciler.revisions import Evaluations, Repository
from reconciler.settings import NixSettings, RepositorySettings, Settings
from reconciler.world import World
from tests.adapters.desired_nix import NIXPKGS, OFFLINE, PLAIN, host
from tests.bench.report import Row, Section, Target
from tests.support.repository import make_repository

HOSTS = 100
NONE_LIMIT = 0.3  # seconds
ONE_LIMIT = 1.2  # times the evaluation of that host alone


def measure(folder: Path, rounds: int) -> Section:
    """Push a README, and one host, to a repository of a hundred, *rounds* times."""
    git = make_repository(folder / "git")
    for number in range(HOSTS):
        text = f'{{ imports = [ ../../common.nix ]; {PLAIN} networking.domain = "a"; }}'
        host(git.work, f"host{number}", text)
    (git.work / "common.nix").write_text("{ }")
    nix = {"path": (f"nixpkgs={NIXPKGS}",), "options": OFFLINE}
    settings = Settings(
        repository=RepositorySettings(url=git.url),
        state=folder / "state",
        nix=NixSettings.model_validate(nix),
    )
    none: list[float] = []
    one: list[float] = []
    alone: list[float] = []
    with open_world(settings) as world:
        repository, evaluations = Repository(world), Evaluations(world)
        git.commit_all()
        _look(world, repository, evaluations)
        for number in range(rounds):
            (git.work / "README").write_text(str(number))
            git.commit_all()
            none.append(_look(world, repository, evaluations))
            text = f'{{ {PLAIN} networking.domain = "b{number}"; }}'
            host(git.work, "host7", text)
            git.commit_all()
            one.append(_look(world, repository, evaluations))
            alone.append(_alone(world, repository))
    return _section(none, one, alone)


def _look(world: World, repository: Repository, evaluations: Evaluations) -> float:
    """Return the seconds from a look at the repository to what each host should be."""
    began = time.perf_counter()
    repository.look()
    revision = repository.current
    assert revision is not None
    for name in revision.hosts:
        evaluations.desired(revision, name)
    took = time.perf_counter() - began
    world.mirror.prune({revision.commit.id})
    return took


def _alone(world: World, repository: Repository) -> float:
    revision = repository.current
    assert revision is not None
    began = time.perf_counter()
    world.evaluator.evaluate(revision.checkout, revision.hosts[-3])
    return time.perf_counter() - began


def _section(none: list[float], one: list[float], alone: list[float]) -> Section:
    rows = (
        Row(name="a push that changes none of 100 hosts", values=tuple(none)),
        Row(name="a push that changes one", values=tuple(one)),
        Row(name="the evaluation of one host alone", values=tuple(alone)),
    )
    ratio = rows[1].median / rows[2].median
    return Section(
        title="What is evaluated after a push",
        unit="s",
        rows=rows,
        targets=(
            Target(name=rows[0].name, value=rows[0].median, limit=NONE_LIMIT, unit="s"),
            Target(
                name="one of 100, to that one alone",
                value=ratio,
                limit=ONE_LIMIT,
                unit="times",
            ),
        ),
    )
