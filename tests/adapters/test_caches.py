"""What was built is pushed to caches and signed, by the machine's own Nix."""

import contextlib
import dataclasses
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reconciler.desired import Evaluator
from reconciler.desired.pushing import argv_of
from reconciler.errors import BuildError
from reconciler.history import pushed
from reconciler.loop.caches import Caches
from reconciler.model import HostName, StorePath
from reconciler.settings import CacheSettings, NixSettings
from reconciler.world import Live
from tests.adapters.desired_nix import OFFLINE, PLAIN, host, settings
from tests.support.scene import Scene, write_copy

pytestmark = pytest.mark.nix

KEANU, LUFTA = HostName("keanu"), HostName("lufta")
CONTENT = {"keanu": {"a.service": "1"}, "lufta": {"a.service": "1"}}


@dataclass
class Pushing:
    """A scene whose hosts' systems are in the real store, and a cache in a folder."""

    scene: Scene
    folder: Path

    @property
    def url(self) -> str:
        """The cache's."""
        return f"file://{self.folder / 'cache'}"

    def caches(self, *urls: str) -> Caches:
        """Return what a process that was just started pushes with."""
        own = self.scene.world
        changed = own.settings.model_copy(
            update={"cache": CacheSettings(push=urls), "nix": NixSettings()}
        )
        live = Live(changed, own.policy)
        return Caches(dataclasses.replace(own, live=live))

    def build(self, name: HostName) -> str:
        """Have a new system of a host in the store, kept as one that was built."""
        file = self.folder / "system"
        file.write_text(f"{name} {time.monotonic_ns()}")
        path = run("nix-store", "--add", str(file))
        root = self.scene.world.gc_root(name)
        root.parent.mkdir(exist_ok=True)
        root.unlink(missing_ok=True)
        root.symlink_to(path)
        return path

    def has(self, path: str) -> bool:
        """Return whether the cache has a path."""
        digest = Path(path).name.partition("-")[0]
        return (self.folder / "cache" / f"{digest}.narinfo").exists()

    def known(self) -> pushed.Pushed:
        """Return what is remembered of the cache."""
        return pushed.read(self.scene.settings.state.path)[self.url]


def run(*argv: str) -> str:
    return subprocess.check_output(argv, text=True, stderr=subprocess.DEVNULL).strip()


@pytest.fixture
def pushing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pushing]:
    write_copy(tmp_path)
    scene = Scene(tmp_path)
    scene.commit(CONTENT)
    with contextlib.closing(scene):
        for name in CONTENT:
            scene.run(name)
        monkeypatch.setenv("NIX_REMOTE", "")
        yield Pushing(scene, tmp_path)


def test_the_newest_systems_are_pushed_and_each_once(pushing: Pushing) -> None:
    systems = [pushing.build(name) for name in (KEANU, LUFTA)]

    assert pushing.caches(pushing.url).turn()

    assert all(map(pushing.has, systems))
    pushes = f'reconciler_cache_pushes_total{{cache="{pushing.url}",result="pushed"}}'
    assert pushing.scene.metric(pushes) == 2
    assert pushing.caches(pushing.url).turn(), "another process begins"
    assert pushing.scene.metric(pushes) == 2
    newer = pushing.build(LUFTA)
    assert pushing.caches(pushing.url).turn()
    assert pushing.has(newer)
    assert pushing.scene.metric(pushes) == 3
    assert set(pushing.known().has) == {systems[0], newer}


def test_a_cache_that_fails_is_told_and_tried_again(pushing: Pushing) -> None:
    system = pushing.build(LUFTA)
    (pushing.folder / "cache").write_text("no folder")
    caches = pushing.caches(pushing.url)

    assert caches.turn()
    assert caches.turn(), "it waits"

    known = pushing.known()
    assert (known.waiting, known.has) == (1, ())
    assert str(pushing.folder / "cache") in known.problem
    failed = f'reconciler_cache_pushes_total{{cache="{pushing.url}",result="failed"}}'
    assert pushing.scene.metric(failed) == 1
    pending = f'reconciler_cache_pending{{cache="{pushing.url}"}}'
    assert pushing.scene.metric(pending) == 1
    (event,) = (e for e in pushing.scene.history.events() if e.kind == "cache")
    assert event.text.startswith(f"cannot push to {pushing.url}: ")
    (pushing.folder / "cache").unlink()
    pushing.scene.clock.advance(60)

    assert caches.turn()

    assert pushing.has(system)
    assert pushing.known().problem == ""
    assert pushing.scene.metric(pending) == 0
    told = [e.text for e in pushing.scene.history.events() if e.kind == "cache"]
    assert f"{pushing.url} is back" in told


def test_a_cache_that_fails_keeps_no_other_from_its_systems(pushing: Pushing) -> None:
    system = pushing.build(LUFTA)
    (pushing.folder / "file").write_text("no folder")

    assert pushing.caches(f"file://{pushing.folder}/file", pushing.url).turn()

    assert pushing.has(system)


def test_a_system_that_cannot_be_pushed_keeps_no_other_back(pushing: Pushing) -> None:
    pushing.build(KEANU)
    root = pushing.scene.world.gc_root(KEANU)
    root.unlink()
    (pushing.folder / "no-system").touch()
    root.symlink_to(pushing.folder / "no-system")
    system = pushing.build(LUFTA)
    caches = pushing.caches(pushing.url)

    for _ in range(2):
        assert caches.turn()
        pushing.scene.clock.advance(60)

    assert pushing.has(system)
    assert pushing.known().waiting == 1
    assert pushing.known().problem


def test_a_login_in_the_url_of_a_cache_is_nowhere_shown(pushing: Pushing) -> None:
    pushing.build(LUFTA)
    tool = pushing.folder / "nix"
    tool.write_text('#!/bin/sh\necho "error: cannot reach $*" >&2\nexit 1\n')
    tool.chmod(0o755)

    with pytest.MonkeyPatch.context() as patch, capture_logs() as logs:
        patch.setenv("PATH", f"{pushing.folder}:/usr/bin:/bin")
        assert pushing.caches("https://me:hush@127.0.0.1:1/x").turn()

    known = pushed.read(pushing.scene.settings.state.path)
    assert known["https://127.0.0.1:1/x"].problem
    assert any(line["event"] == "cannot push to a cache" for line in logs)
    events = [event.text for event in pushing.scene.history.events()]
    assert "hush" not in f"{logs} {known} {events}"


def test_what_cannot_be_noted_is_not_tried_again_at_once(pushing: Pushing) -> None:
    pushing.build(LUFTA)
    (pushing.scene.settings.state.path / pushed.FILE).mkdir()

    assert not pushing.caches(pushing.url).turn()


@pytest.mark.parametrize(
    ("cache", "argv"),
    [
        ("attic:fleet", ["attic", "push", "fleet"]),
        ("attic:server:fleet", ["attic", "push", "server:fleet"]),
        ("cachix:fleet", ["cachix", "push", "fleet"]),
    ],
)
def test_attic_and_cachix_push_by_their_commands(
    pushing: Pushing, monkeypatch: pytest.MonkeyPatch, cache: str, argv: list[str]
) -> None:
    system = pushing.build(LUFTA)
    said = pushing.folder / "said"
    tool = pushing.folder / argv[0]
    tool.write_text(f'#!/bin/sh\necho "$0 $*" >>{said}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{pushing.folder}:/usr/bin:/bin")

    assert pushing.caches(cache).turn()

    assert argv_of(NixSettings(), cache, StorePath(system)) == [*argv, system]
    assert said.read_text() == f"{tool} {' '.join([*argv[1:], system])}\n"


def test_a_tool_that_is_missing_is_named(
    pushing: Pushing, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushing.build(LUFTA)
    monkeypatch.setenv("PATH", str(pushing.folder))

    assert pushing.caches("attic:fleet").turn()

    problem = pushed.read(pushing.scene.settings.state.path)["attic:fleet"].problem
    assert problem.startswith("attic was not found on PATH: install it")


def test_what_is_known_of_caches_may_be_damaged(pushing: Pushing) -> None:
    system = pushing.build(LUFTA)
    (pushing.scene.settings.state.path / pushed.FILE).write_text('{"a": 1}')

    assert pushing.caches(pushing.url).turn()

    assert pushing.has(system)


# --- signatures ------------------------------------------------------------------


def test_what_is_built_is_signed(tmp_path: Path) -> None:
    secret, public = tmp_path / "secret", tmp_path / "public"
    run(
        *("nix-store", "--generate-binary-cache-key", "fleet-1"),
        *(str(secret), str(public)),
    )
    unique = f'environment.etc.now.text = "{time.monotonic_ns()}";'
    checkout = host(tmp_path / "repo", "keanu", f"{{ {PLAIN} {unique} }}")
    evaluator = Evaluator(settings(signing_key=secret))
    desired = evaluator.evaluate(checkout, KEANU)

    evaluator.build(desired, root=tmp_path / "root")

    nix = ["nix", "--extra-experimental-features", "nix-command", "path-info"]
    found = json.loads(run(*nix, "--json", "--recursive", desired.toplevel))
    paths = found if isinstance(found, list) else list(found.values())
    assert len(paths) > 1
    for path in paths:
        assert any(sig.startswith("fleet-1:") for sig in path["signatures"]), path


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    checkout = host(tmp_path / "repo", "keanu", f"{{ {PLAIN} }}")
    evaluator = Evaluator(settings(signing_key=missing, options=OFFLINE))
    desired = evaluator.evaluate(checkout, KEANU)

    with pytest.raises(BuildError, match=r"nix\.signing_key") as caught:
        evaluator.build(desired, root=tmp_path / "root")

    assert str(missing) in str(caught.value)
