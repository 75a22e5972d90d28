"""What a commit does not pin: looked at again, named, and what it was is kept."""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from reconciler.app import open_world
from reconciler.attempt.brought import other_inputs
from reconciler.cli.check import Report, tell_outside
from reconciler.desired import fingerprint, to_json, trace
from reconciler.history import Declared
from reconciler.model import Attempt, CommitId, Desired, HostName, Verdict
from reconciler.revisions import Evaluations, Repository
from reconciler.settings import NixSettings, RepositorySettings, Settings
from reconciler.world import World
from tests.adapters.desired_nix import NIXPKGS, OFFLINE, PLAIN, host
from tests.support.repository import make_repository

pytestmark = [
    pytest.mark.nix,
    pytest.mark.skipif(bool(trace.problem()), reason=trace.problem()),
]

HOST = HostName("lufta")
REFRESH = 60.0


@dataclass
class Place:
    """One host that fetches a tarball, and a channel."""

    world: World
    tarball: Path
    channel: Path
    clock: list[float]

    def fetched(self, text: str) -> None:
        """Have another content at the address that the host fetches."""
        with tarfile.open(self.tarball, "w") as archive:
            data = text.encode()
            member = tarfile.TarInfo("source/text")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))

    def moved(self, version: str) -> None:
        """Have another channel."""
        (self.channel / ".version").write_text(version)
        (self.channel / "default.nix").write_text(f'"{version}"')

    def reader(self) -> "Reader":
        """Look at the newest commit."""
        repository = Repository(self.world)
        repository.look()
        return Reader(repository, Evaluations(self.world))


@dataclass
class Reader:
    """What reads the newest commit."""

    repository: Repository
    evaluations: Evaluations

    def desired(self) -> Desired:
        """Return what the host should be now."""
        assert self.repository.current is not None
        return self.evaluations.desired(self.repository.current, HOST)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    tarball, channel, clock = tmp_path / "x.tar", tmp_path / "channel", [0.0]
    channel.mkdir()
    git = make_repository(tmp_path / "git")
    fetch = f'"${{builtins.fetchTarball "file://{tarball}"}}/text"'
    text = f"environment.etc.x.text = builtins.readFile {fetch} + import <channel>;"
    host(git.work, HOST, f"{{ {PLAIN}\n{text} }}")
    git.commit_all()
    settings = Settings(
        repository=RepositorySettings(url=git.url, refresh=REFRESH),
        state=tmp_path / "state",
        nix=NixSettings(
            path=(f"nixpkgs={NIXPKGS}", f"channel={channel}"),
            options={**OFFLINE, "tarball-ttl": "0"},
            cage_paths=(tmp_path,),
        ),
    )
    with open_world(settings) as world:
        timed = replace(world, monotonic=lambda: clock[0])
        made = Place(world=timed, tarball=tarball, channel=channel, clock=clock)
        made.fetched("one")
        made.moved("24.05")
        yield made


def test_what_is_fetched_without_a_hash_is_looked_at_again(place: Place) -> None:
    reader = place.reader()
    first = reader.desired()
    place.fetched("two")

    place.clock[0] += REFRESH / 2
    assert reader.desired().toplevel == first.toplevel, "it is not time yet"

    place.clock[0] += REFRESH / 2
    second = reader.desired()
    assert second.toplevel != first.toplevel
    assert "repository.refresh" in place.world.history.lookings.notes()[HOST].reasons[0]

    place.tarball.unlink()
    place.clock[0] += REFRESH
    assert reader.desired().toplevel == second.toplevel, "it cannot be fetched now"


def test_inputs_of_no_commit_are_named_and_those_that_moved(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "FRESH_SECONDS", 0.0)
    reader = place.reader()
    before = reader.desired()
    report = Report(as_json=True)
    tell_outside(reader.evaluations, [HOST], report)
    assert [line["check"] for line in report.lines] == [
        f"input {name}" for name in sorted(before.outside)
    ]
    assert before.outside["<channel>"].startswith("24.05 ")
    assert "fetched in hosts/lufta/configuration.nix:2" in before.outside
    history = place.world.history
    declared = Declared(commit=CommitId("0" * 40), desired=to_json(before))
    history.systems.save_confirmed(HOST, declared, (), now=1.0)

    place.moved("24.11")
    after = place.reader().desired()

    attempt = Attempt(
        id="a",
        host=HOST,
        commit=CommitId("0" * 40),
        verdict=Verdict.DEPLOY,
        source=before.toplevel,
        target=after.toplevel,
        began_at=1.0,
    )
    told = other_inputs(history, attempt, after)
    assert [one.partition(":")[0] for one in told] == ["<channel>"]
    assert "24.05 " in told[0]
    assert "24.11 " in told[0]
