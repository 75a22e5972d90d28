"""Folders of secrets that are for some hosts alone, with real Nix and bubblewrap."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.app import open_world
from reconciler.desired import trace
from reconciler.errors import EvaluationError, ReconcilerError
from reconciler.model import Desired, Evaluated, HostName
from reconciler.process import box_problem
from reconciler.revisions import Evaluations, Repository, Revision
from reconciler.settings import NixSettings, RepositorySettings, Settings
from reconciler.world import World
from tests.adapters.desired_nix import NIXPKGS, OFFLINE, PLAIN, host
from tests.support.repository import make_repository

pytestmark = [
    pytest.mark.nix,
    pytest.mark.skipif(bool(box_problem()), reason=box_problem()),
]

SECRET = "of-nobody-else"  # noqa: S105
DB, WEB = HostName("db-1"), HostName("web")
READS = "deployment.tags = [ (builtins.readFile ../../secrets/db/token) ];"


class Place:
    """Two hosts, and a folder of secrets that is for one of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git = make_repository(folder / "git")
        self.secrets = folder / "secrets"
        for name in ("db", "all"):
            (self.secrets / name).mkdir(parents=True)
        (self.secrets / "db/token").write_text(SECRET)
        (self.secrets / "db/away").symlink_to(folder / "away")
        (self.secrets / "all/name").write_text("any")
        (folder / "away").write_text(SECRET)
        self.hosts = ["db-*"]
        self.write(DB, READS)
        self.write(WEB, "")

    def write(self, name: str, text: str) -> None:
        """Write what a host is."""
        host(self.git.work, name, f"{{ nodes, ... }}: {{ {PLAIN} {text} }}")

    @property
    def settings(self) -> Settings:
        """Settings by which all evaluations see the folders' parent, but for that."""
        secrets = {
            "secrets/db": {"path": self.secrets / "db", "hosts": self.hosts},
            "secrets/all": self.secrets / "all",
        }
        repository = {"url": self.git.url, "secrets": secrets}
        return Settings(
            repository=RepositorySettings.model_validate(repository),
            state=self.folder / "state",
            nix=NixSettings(
                path=(f"nixpkgs={NIXPKGS}",),
                options=OFFLINE,
                cage_paths=(self.secrets,),
            ),
        )

    @contextlib.contextmanager
    def looked(self) -> Iterator[tuple[World, Revision]]:
        """Commit, start the program anew, and look."""
        self.git.commit_all()
        with open_world(self.settings) as world:
            repository = Repository(world)
            repository.look()
            assert repository.current is not None
            yield world, repository.current

    def desired(self, name: HostName) -> Desired:
        """Return what the repository says of a host."""
        with self.looked() as (world, revision):
            return Evaluations(world).desired(revision, name)

    def push(self) -> dict[str, Evaluated]:
        """Return how each host was read."""
        with self.looked() as (world, revision):
            evaluations = Evaluations(world)
            for name in revision.hosts:
                evaluations.desired(revision, name)
            notes = world.history.lookings.notes()
        return {name: notes[name].result for name in revision.hosts}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("place"))


@pytest.mark.parametrize(
    "attack",
    [
        "builtins.readFile ../../secrets/db/token",
        "builtins.readFile {secrets}/db/token",
        "builtins.readFile ../../secrets/db/away",
        "builtins.hashFile ''sha256'' ../../secrets/db/token",
        "builtins.head nodes.db-1.config.deployment.tags",
    ],
)
def test_what_is_for_another_host_is_not_read(place: Place, attack: str) -> None:
    taken = attack.format(secrets=place.secrets)
    place.write(WEB, f"deployment.tags = [ ({taken}) ];")

    with pytest.raises(EvaluationError) as caught:
        place.desired(WEB)

    said = str(caught.value)
    assert SECRET not in said
    assert "the evaluation may not read /" in said
    assert "repository.secrets gives secrets/db to db-* alone" in said
    assert "list web there" in said


def test_its_own_host_reads_it_and_others_what_is_for_all(place: Place) -> None:
    taken = f"{place.secrets}/db"
    place.write(
        WEB,
        "deployment.tags = [ (builtins.readFile ../../secrets/all/name) ]"
        f" ++ builtins.attrNames (builtins.readDir {taken});",
    )

    assert place.desired(DB).tags == (SECRET,)
    assert place.desired(WEB).tags == ("any",), "where it is seen, it is empty"


def test_what_lists_the_hosts_reads_nothing_of_one(tmp_path: Path) -> None:
    place = Place(tmp_path)
    text = "{ ${builtins.readFile ./secrets/db/token} = { }; }"
    (place.git.work / "network.nix").write_text(text)

    with pytest.raises(ReconcilerError) as caught, place.looked():
        pass

    assert SECRET not in str(caught.value)
    assert "to db-* alone, and not to what lists the hosts" in str(caught.value)


def test_a_key_is_not_had_from_what_is_for_another_host(tmp_path: Path) -> None:
    place = Place(tmp_path)
    keys = (
        "deployment.keys.text.text = builtins.readFile ../../secrets/db/token;"
        "deployment.keys.file.keyFile = ../../secrets/db/token;"
        "deployment.keys.away.keyFile = ../../secrets/db/away;"
        f"deployment.keys.here.keyFile = ''{place.secrets}/db/token'';"
    )
    place.write(DB, keys)
    place.write(WEB, keys)

    with place.looked() as (world, revision):
        evaluations = Evaluations(world)
        found = {
            name: world.keyring.digests(
                evaluations.desired(revision, name), revision.checkout
            )
            for name in (DB, WEB)
        }
        had = world.keyring.contents(
            evaluations.desired(revision, WEB),
            revision.checkout,
            ["text", "file", "away", "here"],
        )

    assert not found[DB].problems
    assert len(set(found[DB].known.values())) == 1
    assert sorted(found[WEB].problems) == ["away", "file", "here", "text"]
    for said in found[WEB].problems.values():
        assert "repository.secrets gives secrets/db to db-* alone" in said
    assert not had


@pytest.mark.skipif(bool(trace.problem()), reason=trace.problem())
def test_who_gets_it_is_evaluated_again_when_it_or_that_changes(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    reads = 'if builtins.pathExists ../../secrets/db/token then "seen" else "not"'
    place.write(WEB, f"deployment.tags = [ ({reads}) ];")
    place.push()

    (place.secrets / "db/token").write_text("another")
    assert place.push() == {DB: Evaluated.EVALUATED, WEB: Evaluated.UNCHANGED}

    place.hosts = [DB, WEB]
    place.write(WEB, READS)
    assert place.push() == {DB: Evaluated.UNCHANGED, WEB: Evaluated.EVALUATED}
    assert place.desired(WEB).tags == ("another",)

    place.hosts = [DB]
    with pytest.raises(EvaluationError, match="to db-1 alone"):
        place.desired(WEB)
