"""
Flakes, too, are evaluated only where doing it again would say something else.

A flake's tree lies in the store under a name that follows from all of it, and it may
ask which commit it is. A host whose system tells either is evaluated at each commit, no
other is. First hosts of the stand-in, then random edits, each compared with evaluating
everything.
"""

import json
import os
import random
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.desired import Heard, trace
from reconciler.desired.cage import FILES
from reconciler.desired.fetched import Notes
from reconciler.desired.flake import Tree, Trees
from reconciler.desired.kept import Kept, Question
from reconciler.desired.nix import Mode, Nix
from reconciler.desired.reading import Reading
from reconciler.errors import CommandError
from reconciler.history import History
from reconciler.model import Evaluated
from reconciler.settings import NixSettings, RepositorySettings, Settings
from tests.adapters.desired_nix import NIXPKGS, OFFLINE, PLAIN
from tests.adapters.test_spared_hosts import Site, counted
from tests.support.repository import make_repository, mirror_of

needs_strace = pytest.mark.skipif(bool(trace.problem()), reason=trace.problem())
pytestmark = [pytest.mark.nix, needs_strace]

EDITS = int(os.environ.get("RECONCILER_TEST_EDITS", "1000"))
SEED = int(os.environ.get("RECONCILER_TEST_SEED", "0"))

OPTIONS = tuple(word for pair in OFFLINE.items() for word in ("--option", *pair))

BUILT = (
    "derivation { name = 'built'; system = 'x86_64-linux'; builder = '/bin/sh';"
    " args = [ '-c' 'read -r a < ${self}/modules/common.nix; echo $a > $out' ]; }"
)

HOSTS = {
    "plain": "{ imports = [ (self + '/modules/common.nix') ./modules/own.nix ]; }",
    "file": "{ environment.etc.x.source = ./modules/data; }",
    "rev": "{ environment.etc.rev.text = self.rev or 'dirty'; }",
    "tree": "{ environment.etc.tree.text = '${self}/modules'; }",
    "folder": "{ environment.etc.x.text = toString (attrNames (readDir ./modules)); }",
    "built": f"{{ environment.etc.x.text = toJSON (import ({BUILT})); }}",
}

FLAKE = """\
{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/x";
  outputs = { self, nixpkgs }: with builtins; {
    nixosConfigurations = mapAttrs (name: module: nixpkgs.lib.nixosSystem {
      system = "x86_64-linux";
      modules = [ module { %s networking.hostName = name; } ];
    }) {
%s
    };
  };
}
"""


@pytest.fixture(scope="module")
def locked() -> Mapping[str, object]:
    """Return how the stand-in is locked as an input."""
    tree = Trees().add(Path(NIXPKGS), OPTIONS)
    return {"type": "path", "path": tree.path, "narHash": tree.hash, "lastModified": 1}


def write_lock(work: Path, locked: Mapping[str, object], **more: object) -> None:
    """Lock nixpkgs, and *more* nodes."""
    original = {"type": "github", "owner": "NixOS", "repo": "nixpkgs", "ref": "x"}
    nodes = {
        "nixpkgs": {"locked": locked, "original": original},
        "root": {"inputs": {name: name for name in ("nixpkgs", *more)}},
        **more,
    }
    lock = {"nodes": nodes, "root": "root", "version": 7}
    (work / "flake.lock").write_text(json.dumps(lock))


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: Mapping[str, object]
) -> Site:
    """Return a flake of hosts that look at different parts of it."""
    calls = counted(monkeypatch)
    repository = make_repository(tmp_path / "git")
    work = repository.work
    hosts = "\n".join(
        f"{name} = {text};".replace("'", '"') for name, text in HOSTS.items()
    )
    (work / "flake.nix").write_text(FLAKE % (PLAIN, hosts))
    (work / "modules").mkdir()
    for name, text in {"common.nix": "{ }", "own.nix": "{ }", "data": "1"}.items():
        (work / "modules" / name).write_text(text)
    write_lock(work, locked)
    settings = Settings(
        repository=RepositorySettings(url=repository.url),
        state=tmp_path / "state",
        nix=NixSettings(options=OFFLINE),
    )
    return Site(repository, settings, calls)


def of(*evaluated: str) -> dict[str, Evaluated]:
    """Return what is told where only these hosts, and those of each commit, were."""
    return {
        name: Evaluated.EVALUATED
        if name in {*evaluated, "rev", "tree", "built"}
        else Evaluated.UNCHANGED
        for name in HOSTS
    }


def test_a_push_to_a_flake_has_those_evaluated_that_looked_at_it(site: Site) -> None:
    assert site.push() == of(*HOSTS)

    (site.git.work / "README").write_text("for people")
    assert site.push() == of()
    assert "self.rev (flake.nix:" in site.why("rev")[0]
    assert "the path of the flake's whole tree" in site.why("tree")[0]
    assert "tree.drv" in site.why("tree")[0]
    assert "built.drv" in site.why("built")[0], "the system has nothing of it"

    (site.git.work / "modules/own.nix").write_text("{ networking.domain = null; }")
    assert site.push() == of("plain")
    assert site.why("plain") == ("modules/own.nix differs",)

    (site.git.work / "modules/data").write_text("2")
    assert site.push() == of("file")

    (site.git.work / "modules/more").write_text("")
    assert site.push() == of("folder")

    file = site.git.work / "flake.nix"
    file.write_text(file.read_text() + "\n")
    assert site.push() == of(*HOSTS)


def leave(site: Site, *names: str) -> None:
    """Leave only some of the hosts."""
    file = site.git.work / "flake.nix"
    gone = tuple(f"{name} = " for name in HOSTS if name not in names)
    lines = file.read_text().splitlines()
    file.write_text("\n".join(line for line in lines if not line.startswith(gone)))


NODE = """
    deploy.nodes.www = {
      hostname = "www";
      profiles.system.path.paths =
        [ self.nixosConfigurations.file.config.system.build.toplevel ];
    };
"""


def test_a_push_to_a_flake_that_changes_nothing_takes_no_nix(site: Site) -> None:
    """Also to find out which configuration a node of deploy-rs deploys."""
    leave(site, "plain", "file")
    file, name = site.git.work / "flake.nix", "    nixosConfigurations ="
    file.write_text(file.read_text().replace(name, f"{NODE}{name}"))
    assert set(site.push()) == {"plain", "www"}
    (site.git.work / "README").write_text("for people")
    site.calls.clear()

    assert set(site.push().values()) == {Evaluated.UNCHANGED}
    assert site.calls == []


def test_a_flake_with_a_replaced_input_is_spared_likewise(site: Site) -> None:
    leave(site, "plain", "rev")
    nix = NixSettings(options=OFFLINE, inputs={"nixpkgs": Path(NIXPKGS)})
    site.settings = site.settings.model_copy(update={"nix": nix})
    site.push()
    (site.git.work / "README").write_text("for people")

    told = {"plain": Evaluated.UNCHANGED, "rev": Evaluated.EVALUATED}
    assert site.push() == told


def test_an_input_that_follows_the_flake_may_ask_it_which_commit_it_is(
    site: Site, locked: Mapping[str, object], tmp_path: Path
) -> None:
    leave(site, "plain", "file")
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "flake.nix").write_text(
        '{ inputs.back.url = "path:/nowhere"; outputs = { self, back }: {'
        " text = back.rev; }; }"
    )
    tree = Trees().add(folder, OPTIONS)
    known = {"type": "path", "path": tree.path, "narHash": tree.hash, "lastModified": 1}
    original = {"type": "path", "path": "/nowhere"}
    node = {"locked": known, "original": original, "inputs": {"back": []}}
    write_lock(site.git.work, locked, helper=node)
    file = site.git.work / "flake.nix"
    text = file.read_text().replace("{ self, nixpkgs }", "{ self, nixpkgs, helper }")
    text = text.replace("./modules/data", 'toFile "x" helper.text')
    more = 'inputs.helper = { url = "path:/nowhere"; inputs.back.follows = ""; };'
    file.write_text(text.replace("{\n", f"{{\n{more}\n", 1))
    site.push()
    (site.git.work / "README").write_text("for people")

    told = {"plain": Evaluated.UNCHANGED, "file": Evaluated.EVALUATED}
    assert site.push() == told
    assert "self.rev" in site.why("file")[0]


def test_an_input_in_a_folder_of_the_flake_may_ask_which_commit_it_is(
    site: Site, locked: Mapping[str, object]
) -> None:
    version = Nix(site.settings).version.rpartition(" ")[2]
    if tuple(map(int, version.split(".")[:2])) < (2, 26):
        pytest.skip(f"Nix {version} has no such inputs")
    leave(site, "plain", "file")
    place = {"type": "path", "path": "./sub"}
    node = {"locked": place, "original": place, "parent": []}
    write_lock(site.git.work, locked, sub=node)
    (site.git.work / "sub").mkdir()
    inner = site.git.work / "sub/flake.nix"
    inner.write_text("{ outputs = { self }: { text = self.shortRev; }; }")
    file = site.git.work / "flake.nix"
    text = file.read_text().replace("{ self, nixpkgs }", "{ self, nixpkgs, sub }")
    text = text.replace("./modules/data", 'toFile "x" sub.text')
    file.write_text(text.replace("{\n", '{\ninputs.sub.url = "path:./sub";\n', 1))
    site.push()
    (site.git.work / "README").write_text("for people")

    told = {"plain": Evaluated.UNCHANGED, "file": Evaluated.EVALUATED}
    assert site.push() == told
    assert "self.shortRev (sub/flake.nix:" in site.why("file")[0]


# --- random edits -----------------------------------------------------------------

ASK = """\
{ sources, host }:
let
  told = builtins.fromJSON sources;
  flake = import %s/own-flake.nix {
    native = builtins.getFlake told.url;
    folder = ".";
  };
in flake.hosts.${host}
"""

FILES_OF_FLAKE = ("a.txt", "d/b.txt", "d/e/c.nix", "d/e/x y", "link")
FOLDERS_OF_FLAKE = ("d", "d/e", "link")
ODD_ONES = ("README", "docs/x")


class Flake:
    """A flake whose hosts are lists of what they see, with random edits."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 -- no secret
        self.repository = make_repository(folder / "git")
        self.work = self.repository.work
        self.mirror = mirror_of(self.repository, folder / "state")
        self.history = History.open(folder / "history.sqlite")
        self.file = folder / "ask.nix"
        self.file.write_text(ASK % FILES)
        nix = NixSettings(options=OFFLINE, cage_paths=(folder,))
        url = RepositorySettings(url=str(folder))
        self.nix = Nix(Settings(repository=url, nix=nix, state=folder))
        self.trees, self.notes = Trees(), Notes()
        self.spared = self.evaluated = 0
        (self.work / "flake.nix").write_text(
            "{ outputs = { self }: { hosts = builtins.mapAttrs (name: _: import"
            ' (self + "/hosts/${name}") self) (builtins.readDir ./hosts); }; }'
        )
        for _ in range(8):
            self.edit()
        for name in ("one", "two", "three"):
            self._host(name)

    def edit(self) -> str:
        """Make one change, and tell what it was."""
        pick = self.random.choice
        kind = pick(
            ("write", "write", "readme", "readme", "rm", "mode", "link", "host")
        )
        name = pick(ODD_ONES if kind == "readme" else FILES_OF_FLAKE)
        path = self.work / name
        if kind == "host":
            return self._host(pick(("one", "two", "three")))
        if kind == "rm":
            path.unlink(missing_ok=True)
        elif kind == "link" and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.symlink_to(pick(("d", "a.txt", "../a.txt", "nowhere")))
        elif kind == "mode" and path.is_file():
            path.chmod(pick((0o644, 0o755)))
        elif kind in {"write", "readme"} and not path.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_text(pick(("1", "2", '"x"')) if kind == "write" else _any(self))
        return f"{kind} {name}"

    def _host(self, name: str) -> str:
        parts = [self._fragment() for _ in range(self.random.randint(1, 3))]
        listed = "\n".join(f"(builtins.toJSON ({part}))" for part in parts)
        path = self.work / "hosts" / name / "default.nix"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"self: [ {listed} ]")
        return f"host {name}"

    def _fragment(self) -> str:
        pick = self.random.choice
        file, folder = (
            f'(../.. + "/{pick(names)}")'
            for names in (FILES_OF_FLAKE, FOLDERS_OF_FLAKE)
        )
        of_self = f'"${{self}}/{pick(FILES_OF_FLAKE)}"'
        there = f"builtins.pathExists {file} && ! builtins.pathExists ({file} + ''/.'')"
        return pick(
            (
                f"builtins.pathExists {file}",
                f"builtins.pathExists {of_self}",
                "1 + 1",
                f"if {there} then builtins.readFile {file} else 0",
                f'if {there} then "${{{file}}}" else 0',
                f"if {there} then builtins.hashFile ''sha256'' {file} else 0",
                f"if builtins.pathExists {folder} then {_sourced(folder)} else 0",
                f"if builtins.pathExists {folder} then {_filtered(folder)} else 0",
                f"if builtins.pathExists {folder}/. then {_listed(folder)} else 0",
                f"{_derivation(f'where = {of_self};')}",
                f"{_derivation(f'where = toString {file};')}",
                _built(pick(FILES_OF_FLAKE)),
                "builtins.substring 11 7 self.outPath",
                "self.rev",
                "self.lastModified",
                "self.sourceInfo.narHash",
                "self ? rev",
                "builtins.length (builtins.attrNames self.inputs)",
            )
        )

    def check(self, told: str) -> None:
        """Compare every host with an evaluation that remembers nothing."""
        self.repository.commit_all("edit")
        checkout = self.mirror.checkout(self.mirror.fetch())
        tree = self.trees.add(checkout, OPTIONS)
        kept = Kept(self.history.lookings, lambda: "", OPTIONS)
        for file in sorted((self.work / "hosts").iterdir()):
            self._check_host(kept, (checkout, tree), file.name, told)
        self.mirror.prune(())

    def _check_host(
        self, kept: Kept, read: tuple[Path, Tree], host: str, told: str
    ) -> None:
        checkout, tree = read
        question = Question(
            subject=host, checkout=checkout, base={"": ""}, copy=tree.path
        )
        arguments = {
            "sources": json.dumps({"url": tree.reference(checkout, ".")}),
            "host": host,
        }
        reading = Reading(
            checkout=checkout,
            copy=tree.path,
            mode=Mode(flakes=True),
            fetched=self.notes.of(tree, OPTIONS),
        )
        heard: list[Heard] = []
        key, reasons = kept.unchanged(question)
        try:
            now = self.nix.evaluate(
                str(self.file), arguments, reading=reading, hear=heard.append
            )
        except CommandError:
            assert not key, (told, host)
            return
        if key:
            self.spared += 1
            text = (self.work / "hosts" / host / "default.nix").read_text()
            assert self.history.lookings.answer(key) == now, (told, host, text)
            return
        assert reasons
        self.evaluated += 1
        kept.keep(question, heard[0], now, again=question)


def _any(flake: Flake) -> str:
    return str(flake.random.random())


def _sourced(folder: str) -> str:
    return _derivation(f"source = {folder};")


def _filtered(folder: str) -> str:
    no_b = 'path: type: baseNameOf path != "b.txt"'
    return f'"${{builtins.path {{ name = "n"; path = {folder}; filter = {no_b}; }}}}"'


def _listed(folder: str) -> str:
    return f"builtins.readDir {folder}"


def _derivation(more: str) -> str:
    fields = f'name = "n"; system = "s"; builder = "b"; {more}'
    return f"(derivation {{ {fields} }}).drvPath"


def _built(file: str) -> str:
    command = f"read -r a <'${{self}}/{file}'; echo \"$a\" >$out"
    args = f"builder = ''/bin/sh''; args = [ ''-c'' ''{command}'' ];"
    system = "system = ''x86_64-linux'';"
    return f"builtins.readFile (derivation {{ name = ''n''; {system} {args} }})"


def go(place: Flake, edits: int) -> None:
    told: list[str] = []
    for _ in range(edits):
        told = [*told[-10:], place.edit()]
        place.check(" | ".join(told))
    place.history.close()


def test_what_is_spared_of_a_flake_would_say_the_same(tmp_path: Path) -> None:
    place = Flake(tmp_path, 12)
    go(place, 14)

    assert place.spared > place.evaluated / 5, "it is spared where it can be"


@pytest.mark.matrix
@pytest.mark.timeout(0)
def test_what_is_spared_of_a_flake_would_say_the_same_after_many_edits(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    spared = evaluated = 0
    for seed in range(SEED, SEED + EDITS // 50):
        place = Flake(tmp_path_factory.mktemp("place"), seed)
        go(place, 50)
        spared, evaluated = spared + place.spared, evaluated + place.evaluated
    print(f"{EDITS} edits: {spared} spared, {evaluated} evaluated")  # noqa: T201

    assert spared
