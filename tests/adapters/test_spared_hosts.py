"""Which hosts a push has evaluated, by the machine's own Nix and git."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler import process
from reconciler.app import open_world
from reconciler.desired import trace
from reconciler.desired.nix import Nix
from reconciler.errors import EvaluationError
from reconciler.model import Desired, Evaluated, HostName
from reconciler.revisions import Evaluations, Repository, Revision
from reconciler.settings import NixSettings, RepositorySettings, Settings
from reconciler.world import World
from tests.adapters.desired_nix import NIXPKGS, OFFLINE, PLAIN, host
from tests.support.repository import Repository as Git
from tests.support.repository import make_repository

pytestmark = [
    pytest.mark.nix,
    pytest.mark.skipif(bool(trace.problem()), reason=trace.problem()),
]

HOSTS = ("keanu", "lufta", "neo")
PROGRAM = str(Path(sys.executable).with_name("reconciler"))


@dataclass
class Site:
    """A repository, and what the reconciler makes of it."""

    git: Git
    settings: Settings
    calls: list[str]  # one for each start of nix-instantiate

    @contextlib.contextmanager
    def started(self) -> Iterator[World]:
        """Start the program anew."""
        with open_world(self.settings) as world:
            yield world

    def push(self) -> dict[str, Evaluated]:
        """Push what is in the work tree, and return how it was read for each host."""
        self.git.commit_all()
        with self.started() as world:
            revision, evaluations = self.looked(world)
            for name in revision.hosts:
                with contextlib.suppress(EvaluationError):
                    evaluations.desired(revision, name)
            notes = world.history.lookings.notes()
        return {name: notes[HostName(name)].result for name in revision.hosts}

    def looked(self, world: World) -> tuple[Revision, Evaluations]:
        """Look at the newest commit."""
        repository = Repository(world)
        repository.look()
        assert repository.current is not None
        return repository.current, Evaluations(world)

    def desired(self, name: str) -> Desired:
        """Return what the newest commit says of a host."""
        with self.started() as world:
            revision, evaluations = self.looked(world)
            return evaluations.desired(revision, HostName(name))

    def why(self, name: str) -> tuple[str, ...]:
        """Return why a host was evaluated."""
        with self.started() as world:
            return world.history.lookings.notes()[HostName(name)].reasons


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a repository of three hosts, two of which import one module."""
    calls = counted(monkeypatch)
    git = make_repository(tmp_path / "git")
    for name in HOSTS:
        imports = "imports = [ ../../common.nix ]; " if name != "neo" else ""
        host(git.work, name, f"{{ {imports}{PLAIN} }}")
    (git.work / "common.nix").write_text("{ }")
    nix = {"path": (f"nixpkgs={NIXPKGS}",), "options": OFFLINE}
    settings = Settings(
        repository=RepositorySettings(url=git.url),
        state=tmp_path / "state",
        nix=NixSettings.model_validate(nix),
    )
    return Site(git, settings, calls)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have each start of nix-instantiate but for its version written down."""
    calls, run = [], process.run

    def counted(argv: Sequence[str], **options: Any) -> process.Completed:  # noqa: ANN401 -- as it is
        if "nix-instantiate" in argv and "--version" not in argv:
            calls.append(argv[-1])
        return run(argv, **options)

    monkeypatch.setattr(process, "run", counted)
    return calls


def of(*evaluated: str) -> dict[str, Evaluated]:
    """Return what is told where only these hosts were evaluated."""
    return {
        name: Evaluated.EVALUATED if name in evaluated else Evaluated.UNCHANGED
        for name in HOSTS
    }


def test_a_push_has_those_hosts_evaluated_that_looked_at_it(site: Site) -> None:
    assert site.push() == of(*HOSTS)

    (site.git.work / "README").write_text("for people")
    site.calls.clear()
    assert site.push() == of()
    assert site.calls == [], "not one Nix"

    (site.git.work / "common.nix").write_text("{ networking.domain = null; }")
    assert site.push() == of("keanu", "lufta")
    assert site.why("keanu") == ("common.nix differs",)
    assert site.why("neo") == ()

    host(site.git.work, "neo", "{ nothing here }")
    assert site.push() == {**of(), "neo": Evaluated.FAILED}
    host(site.git.work, "neo", f"{{ {PLAIN} }}")
    assert site.push() == of(), "it is what it was before"


def test_a_host_that_comes_is_noticed_by_who_asks_for_all(site: Site) -> None:
    text = "environment.etc.all.text = toString (builtins.attrNames nodes);"
    host(site.git.work, "neo", f"{{ nodes, ... }}: {{ {PLAIN} {text} }}")
    site.push()

    host(site.git.work, "tank", f"{{ {PLAIN} }}")

    assert site.push() == of("neo", "tank") | {"tank": Evaluated.EVALUATED}
    assert site.why("neo") == ("the list of hosts differs",)


def test_why_is_told_on_the_command_line(site: Site, tmp_path: Path) -> None:
    site.push()
    (site.git.work / "common.nix").write_text("{ }  ")
    site.push()
    file = tmp_path / "reconciler.yaml"
    file.write_text(f"{{repository: {{url: {site.git.url}}}, state: {tmp_path}/state}}")

    def said(*words: str) -> str:
        argv = [PROGRAM, "-c", str(file), "why-evaluated", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert "keanu: evaluated for commit" in said("keanu")
    assert "common.nix differs" in said("keanu")
    assert "nothing that its last evaluation looked at differs" in said("neo")
    assert json.loads(said("neo", "--json"))["result"] == "unchanged"


def test_a_system_that_names_its_checkout_is_evaluated_each_time(site: Site) -> None:
    """Else a host would be left with the folder of a commit that is long gone."""
    text = 'environment.etc.where.text = "${toString ./.}";'
    host(site.git.work, "neo", f"{{ {PLAIN} {text} }}")
    site.push()
    before = site.desired("neo").toplevel

    (site.git.work / "README").write_text("for people")

    assert site.push() == of("neo")
    assert site.desired("neo").toplevel != before
    assert "names the folder" in site.why("neo")[0]


def test_a_host_that_asks_for_the_time_is_evaluated_each_time(site: Site) -> None:
    text = "environment.etc.time.text = toString (builtins.currentTime / 3600);"
    host(site.git.work, "neo", f"{{ {PLAIN} {text} }}")
    site.push()

    (site.git.work / "README").write_text("for people")

    assert site.push() == of("neo")
    assert site.why("neo") == ("hosts/neo/configuration.nix asks for the current time",)


def test_without_strace_each_host_is_evaluated_each_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "problem", lambda: "strace was not found on PATH")
    site.push()
    (site.git.work / "README").write_text("for people")

    assert site.push() == of(*HOSTS)
    assert "strace was not found" in site.why("neo")[0]


def test_a_trace_that_grows_too_large_is_ended_and_the_host_is_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever may push could fill the disk with what is traced."""
    monkeypatch.setattr(trace, "SIZE_LIMIT", 32 << 10)
    for name in ("keanu", "lufta"):
        (site.git.work / "hosts" / name / "configuration.nix").unlink()
    assert site.push() == {"neo": Evaluated.EVALUATED}

    (site.git.work / "README").write_text("for people")

    assert site.push() == {"neo": Evaluated.EVALUATED}
    assert site.why("neo") == (trace.TOO_LARGE,)


def test_the_hosts_of_a_network_are_listed_once(site: Site) -> None:
    """A list of hosts is asked of Nix, too: a push that changes none asks nothing."""
    work = site.git.work
    nodes = " ".join(f"{name} = ./hosts/{name}/configuration.nix;" for name in HOSTS)
    (work / "network.nix").write_text(f"{{ {nodes} }}")
    assert site.push() == of(*HOSTS)

    (work / "README").write_text("for people")
    site.calls.clear()
    assert site.push() == of()
    assert site.calls == []

    (work / "network.nix").write_text(f"{{ {nodes} tank = {{ {PLAIN} }}; }}")
    assert set(site.push()) == {*HOSTS, "tank"}


def test_a_channel_that_moves_during_an_evaluation_is_noticed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Nix read was the one before, what is there afterwards is the next one."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text.nix").write_text(f'"{name}"')
    link = tmp_path / "channel"
    link.symlink_to("one")
    nix = site.settings.nix
    more = nix.model_copy(update={"path": (*nix.path, f"channel={link}")})
    site.settings = site.settings.model_copy(update={"nix": more})
    text = "environment.etc.channel.text = import <channel/text.nix>;"
    host(site.git.work, "neo", f"{{ {PLAIN} {text} }}")
    site.git.commit_all()
    evaluate = Nix.evaluate

    def moving(self: Nix, *args: Any, **options: Any) -> str:  # noqa: ANN401 -- as it is
        answer = evaluate(self, *args, **options)
        link.unlink()
        link.symlink_to("two")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Nix, "evaluate", moving)
        before = site.desired("neo").toplevel

    assert site.desired("neo").toplevel != before
