"""Garbage collection may strike this machine at any moment; nothing is lost by it."""

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler import process
from reconciler.desired import Evaluator, still_valid
from reconciler.errors import BuildError
from reconciler.model import Commit, CommitId, Desired, HostName
from reconciler.revisions import Evaluations, Revision
from tests.adapters.desired_nix import PLAIN, host, settings
from tests.support.scene import Scene

pytestmark = pytest.mark.nix

KEANU = HostName("keanu")
COMMIT = Commit(
    id=CommitId("c" * 40),
    tree="t",
    branch="main",
    subject="",
    author="",
    committed_at=0,
)


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a store of our own: others use that of the machine."""
    for name in ("STORE", "STATE", "LOG", "CONF", "LOCALSTATE", "DATA"):
        folder = tmp_path / "nix" / name.lower()
        folder.mkdir(parents=True)
        monkeypatch.setenv(f"NIX_{name}_DIR", str(folder))
    monkeypatch.setenv("NIX_REMOTE", "local")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    return host(folder, "keanu", f"{{ ... }}: {{ {PLAIN} }}")


@pytest.fixture
def evaluator() -> Evaluator:
    return Evaluator(settings())


def collect() -> None:
    process.run(["nix-collect-garbage"], deadline=60)


@pytest.fixture
def evaluations(
    tmp_path: Path, evaluator: Evaluator
) -> Iterator[Callable[[], Evaluations]]:
    """Return what begins a process that remembers what the last one has evaluated."""
    scene = Scene(tmp_path / "scene")
    world = dataclasses.replace(scene.world, evaluator=evaluator)
    yield lambda: Evaluations(world)
    scene.close()


def revision(checkout: Path) -> Revision:
    return Revision(commit=COMMIT, checkout=checkout, hosts=(KEANU,), seen_at=0.0)


def closure(desired: Desired) -> list[str]:
    """Return what copying asks for."""
    argv = ["nix-store", "--query", "--requisites", desired.toplevel]
    return process.run(argv, deadline=30).stdout.split()


def test_what_was_evaluated_is_built_after_a_collection(
    tmp_path: Path, checkout: Path, evaluator: Evaluator
) -> None:
    desired = evaluator.evaluate(checkout, KEANU)
    collect()
    assert not Path(desired.derivation).exists(), "or this test proves nothing"

    evaluator.build(desired, root=tmp_path / "root", checkout=checkout)

    for _ in range(2):
        assert desired.toplevel in closure(desired), "and it is kept, for the copy"
        collect()


def test_what_was_built_is_built_again_after_a_collection(
    tmp_path: Path, checkout: Path, evaluator: Evaluator
) -> None:
    """A host has lost it, say, and is brought back to it."""
    desired = evaluator.evaluate(checkout, KEANU)
    evaluator.build(desired, root=tmp_path / "root", checkout=checkout)
    (tmp_path / "root").unlink()  # another system was built meanwhile
    collect()
    assert not still_valid(desired)

    evaluator.build(desired, root=tmp_path / "root", checkout=checkout)

    assert desired.toplevel in closure(desired)


def test_what_is_remembered_is_evaluated_again_after_a_collection(
    checkout: Path, evaluations: Callable[[], Evaluations]
) -> None:
    """In one process, and in the next one."""
    one = evaluations()
    desired = one.desired(revision(checkout), KEANU)
    for process_of_evaluations in (one, evaluations()):
        collect()
        assert not still_valid(desired)

        again = process_of_evaluations.desired(revision(checkout), KEANU)

        assert again == desired
        assert Path(desired.derivation).exists()


def test_what_is_built_is_not_evaluated_again(
    tmp_path: Path,
    checkout: Path,
    evaluations: Callable[[], Evaluations],
    evaluator: Evaluator,
) -> None:
    desired = evaluations().desired(revision(checkout), KEANU)
    evaluator.build(desired, root=tmp_path / "root", checkout=checkout)
    collect()
    (checkout / "hosts/keanu/configuration.nix").write_text("this is no Nix")

    assert evaluations().desired(revision(checkout), KEANU) == desired


def test_what_evaluates_to_another_system_by_now_is_not_built(
    tmp_path: Path, checkout: Path, evaluator: Evaluator
) -> None:
    desired = evaluator.evaluate(checkout, KEANU)
    collect()
    text = 'environment.etc.now.text = "later";'
    host(checkout, "keanu", f"{{ ... }}: {{ {PLAIN} {text} }}")

    with pytest.raises(BuildError, match="evaluates to"):
        evaluator.build(desired, root=tmp_path / "root", checkout=checkout)


@contextmanager
def collecting() -> Iterator[None]:
    """Let one collection follow another."""
    over = threading.Event()

    def strike() -> None:
        while not over.is_set():
            collect()

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.matrix  # one in six: Nix itself now and then collects what it just rooted
def test_collections_strike_all_the_time(
    tmp_path: Path, checkout: Path, evaluator: Evaluator
) -> None:
    for number in range(3):
        text = f'environment.etc.now.text = "{number} {os.getpid()}";'
        host(checkout, "keanu", f"{{ ... }}: {{ {PLAIN} {text} }}")
        with collecting():
            desired = evaluator.evaluate(checkout, KEANU)
            evaluator.build(desired, root=tmp_path / "root", checkout=checkout)
            assert desired.toplevel in closure(desired)
