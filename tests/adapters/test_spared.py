"""
An evaluation is spared only where doing it again would say the same.

Random edits of a repository and of what lies around it, each compared with evaluating
everything. RECONCILER_TEST_EDITS and RECONCILER_TEST_SEED say how many, and which.
"""

import os
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.desired import Heard, trace
from reconciler.desired.circumstances import of_environment
from reconciler.desired.kept import Kept, Question
from reconciler.desired.nix import Nix
from reconciler.desired.reading import Reading
from reconciler.errors import CommandError
from reconciler.history import History
from reconciler.settings import NixSettings, RepositorySettings, Settings
from tests.adapters.desired_nix import OFFLINE
from tests.support.repository import Repository, make_repository, mirror_of

if TYPE_CHECKING:
    from collections.abc import Callable

EDITS = int(os.environ.get("RECONCILER_TEST_EDITS", "1000"))
SEED = int(os.environ.get("RECONCILER_TEST_SEED", "0"))

ODD = 'odd "näme"\\ \n'
FILES = ("a.txt", "d/b.txt", "d/e/c.nix", "d/e/run.sh", f"d/{ODD}", "link", "f/g.txt")
FOLDERS = ("d", "d/e", "f", "hosts", "link")
CONTENTS = ("1", "2", "3", '"x"')
TARGETS = ("d", "a.txt", "d/e", "../outside", "nowhere", "d/../a.txt", "link")

needs_strace = pytest.mark.skipif(bool(trace.problem()), reason=trace.problem())
pytestmark = [pytest.mark.nix, needs_strace]


class Place:
    """A repository with hosts as small as can be, and what lies around it."""

    def __init__(
        self, folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.random = random.Random(seed)  # noqa: S311 -- no secret
        self.environment = monkeypatch
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.repository: Repository = make_repository(folder / "git")
        self.work = self.repository.work
        self.mirror = mirror_of(self.repository, folder / "state")
        self.history = History.open(folder / "history.sqlite")
        self.file = folder / "ask.nix"
        self.file.write_text(
            '{ checkout, host }: import (/. + checkout + "/hosts/${host}.nix")'
        )
        nix = NixSettings(options=OFFLINE, cage_paths=(folder,))
        url = RepositorySettings(url=str(folder))
        self.nix = Nix(Settings(repository=url, nix=nix, state=folder))
        self.spared = self.evaluated = self.failed = 0
        for _ in range(12):
            self.edit()
        for name in ("one", "two"):
            self._add_host(name)

    # --- edits -------------------------------------------------------------------

    def edit(self) -> str:
        """Make one change, and tell what it was."""
        edits: tuple[Callable[[], str], ...] = (
            *(self._write, self._write, self._write, self._remove, self._rename),
            *(
                self._make_link,
                self._make_executable,
                self._change_host,
                self._add_some_host,
            ),
            *(self._remove_host, self._write_outside, self._write_outside),
            *(self._remove_outside, self._change_environment, self._change_attributes),
            *(self._change_readme, self._change_readme, self._swap_outside),
        )
        return self.random.choice(edits)()

    def _pick(self, what: tuple[str, ...]) -> str:
        return self.random.choice(what)

    def _write(self) -> str:
        return self._put(self.work, self._pick(FILES), self._pick(CONTENTS))

    def _put(self, root: Path, name: str, text: str) -> str:
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        except OSError as error:
            return f"nothing: {error}"
        return f"write {name}"

    def _remove(self) -> str:
        name = self._pick((*FILES, *FOLDERS[:3]))
        return _remove(self.work / name)

    def _rename(self) -> str:
        old, new = self.work / self._pick(FILES), self.work / self._pick(FILES)
        if old.exists() and new.parent.is_dir() and not new.is_dir():
            old.rename(new)
        return f"rename {old} {new}"

    def _make_link(self) -> str:
        target = self._pick((*TARGETS, str(self.outside), f"{self.outside}/x"))
        name = self._pick((*FILES, "d/e", "f"))
        _remove(self.work / name)
        if not (self.work / name).parent.is_dir():
            return "nothing"
        (self.work / name).symlink_to(target)
        return f"link {name} to {target}"

    def _make_executable(self) -> str:
        path = self.work / self._pick(FILES)
        if path.is_file() and not path.is_symlink():
            path.chmod(self.random.choice((0o644, 0o755)))
        return f"mode of {path}"

    def _add_some_host(self) -> str:
        return self._add_host(self._pick(("one", "two", "three", "four")))

    def _change_host(self) -> str:
        return self._add_host(self._pick(("one", "two")))

    def _add_host(self, name: str) -> str:
        parts = [self._fragment() for _ in range(self.random.randint(1, 4))]
        listed = "\n".join(f"(builtins.toJSON ({part}))" for part in parts)
        return self._put(self.work, f"hosts/{name}.nix", f"[ {listed} ]")

    def _remove_host(self) -> str:
        return _remove(self.work / "hosts" / self._pick(("three", "four")))

    def _write_outside(self) -> str:
        name = self._pick(("x", "y/z", "x.nix"))
        return self._put(self.outside, name, self._pick(CONTENTS))

    def _remove_outside(self) -> str:
        return _remove(self.outside / self._pick(("x", "y", "x.nix")))

    def _swap_outside(self) -> str:
        """Move a link, as who takes another channel does."""
        link = self.outside / "channel"
        _remove(link)
        link.symlink_to(self._pick(("y", "x", "nowhere")))
        return "swap the channel"

    def _change_environment(self) -> str:
        self.environment.setenv("COLOUR", self._pick(("red", "green")))
        return "environment"

    def _change_attributes(self) -> str:
        text = self._pick(("*.txt eol=crlf\n", "*.txt -text\n"))
        return self._put(self.work, ".gitattributes", text)

    def _change_readme(self) -> str:
        return self._put(self.work, "README", str(self.random.random()))

    # --- what hosts look at ------------------------------------------------------

    def _fragment(self) -> str:
        file, folder = self._path(self._pick(FILES)), self._path(self._pick(FOLDERS))
        out = self.outside
        return self._pick(
            (
                f"builtins.pathExists {file}",
                f"builtins.pathExists {folder}",
                f"builtins.pathExists {out}/y/z",
                'builtins.getEnv "COLOUR"',
                "1 + 1",
                f"toString {file}",
                _derivation(f"where = toString {file};"),
                _derivation('other = builtins.toFile "t" (toString ../.);'),
                _if(file, f"builtins.readFile {file}"),
                _if(file, f'builtins.hashFile "sha256" {file}'),
                _if(file, f'"${{{file}}}"'),
                _if(folder, f"builtins.readDir {folder}"),
                _if(folder, f'"${{{folder}}}"'),
                _if(folder, _derivation(f"source = {folder};")),
                _if(
                    folder,
                    "builtins.filterSource"
                    f' (path: type: baseNameOf path != "b.txt") {folder}',
                ),
                _if(self._path("d/e/c.nix"), f"import {self._path('d/e/c.nix')}"),
                _if(f"{out}/x", f"builtins.readFile {out}/x"),
                _if(f"{out}/x.nix", f"import {out}/x.nix"),
                _if(f"{out}/y", f'"${{{out}/y}}"'),
                _if(f"{out}/channel/z", f"builtins.readDir {out}/channel"),
                _if(f"{out}/channel/z", f"builtins.readFile {out}/channel/z"),
                f"builtins.readDir {out}",
            )
        )

    def _path(self, name: str) -> str:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'(../. + "/{quoted}")'

    # --- what is compared --------------------------------------------------------

    def check(self, told: str) -> None:
        """Compare every host with an evaluation that remembers nothing."""
        self.repository.commit_all("edit")
        checkout = self.mirror.checkout(self.mirror.fetch())
        kept = Kept(self.history.lookings, lambda: "")
        for file in sorted((self.work / "hosts").glob("*.nix")):
            self._check_host(kept, checkout, file.stem, told)
        self.mirror.prune(())

    def _check_host(self, kept: Kept, checkout: Path, host: str, told: str) -> None:
        base = {"environment": of_environment(tuple(os.environ.items()))}
        question = Question(subject=host, checkout=checkout, base=base)
        arguments = {"checkout": str(checkout), "host": host}
        key, reasons = kept.unchanged(question)
        heard: list[Heard] = []
        now = self._evaluate(arguments, heard)
        if key:
            self.spared += 1
            before = self.history.lookings.answer(key)
            text = (self.work / f"hosts/{host}.nix").read_text()
            assert before == now, (told, host, text)
            return
        assert reasons
        self.failed += now is None
        self.evaluated += now is not None
        if now is not None:
            kept.keep(question, heard[0], now, again=question)

    def _evaluate(self, arguments: dict[str, str], heard: list[Heard]) -> str | None:
        try:
            return self.nix.evaluate(
                str(self.file),
                arguments,
                reading=Reading(checkout=Path(arguments["checkout"])),
                hear=heard.append,
            )
        except CommandError:
            return None


def _if(path: str, answer: str) -> str:
    return f'if builtins.pathExists {path} then {answer} else "none"'


def _derivation(more: str) -> str:
    fields = f'name = "n"; system = "s"; builder = "b"; {more}'
    return f"(derivation {{ {fields} }}).drvPath"


def _remove(path: Path) -> str:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink()
    return f"remove {path.name}"


def go(place: Place, edits: int) -> None:
    told: list[str] = []
    for _ in range(edits):
        told = [*told[-10:], place.edit()]
        place.check(" | ".join(told))
    place.history.close()


def test_what_is_spared_would_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, 1, monkeypatch)
    go(place, 30)

    assert place.spared > place.evaluated / 4, "it is spared where it can be"


@pytest.mark.matrix
@pytest.mark.timeout(0)
def test_what_is_spared_would_say_the_same_after_many_edits(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    spared = evaluated = 0
    for seed in range(SEED, SEED + EDITS // 50):
        place = Place(tmp_path_factory.mktemp("place"), seed, monkeypatch)
        go(place, 50)
        spared, evaluated = spared + place.spared, evaluated + place.evaluated
    print(f"{EDITS} edits: {spared} spared, {evaluated} evaluated")  # noqa: T201

    assert spared
