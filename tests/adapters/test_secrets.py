"""The contents of keys with the machine's own Nix, and a search for where they leak."""

import hashlib
import logging
import os
import secrets
import shutil
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyrage
import pytest

from reconciler.desired import Evaluator, from_json, to_json
from reconciler.errors import EvaluationError, KeyContentError
from reconciler.history import History
from reconciler.model import Desired, Digests, HostName
from reconciler.secrets import Keyring, Overlays
from reconciler.settings import (
    OverlaySettings,
    RepositorySettings,
    SecretsSettings,
    Settings,
)
from tests.adapters.desired_nix import PLAIN, ROOT, host, settings

pytestmark = pytest.mark.nix

KEANU = HostName("keanu")


def declared(checkout: Path, keys: str) -> Evaluator:
    """Write a host with *keys*; return who evaluates it."""
    module = (
        "{ config, lib, pkgs, ... }: {\n"
        f"{PLAIN}\n  deployment.keys = {{\n{keys}\n}};\n}}\n"
    )
    host(checkout, "keanu", module)
    return Evaluator(settings())


def texts(checkout: Path, keys: str, *names: str) -> dict[str, bytes]:
    evaluator = declared(checkout, keys)
    desired = evaluator.evaluate(checkout, KEANU)
    return evaluator.key_texts(checkout, KEANU, names or tuple(desired.keys))


def problem(checkout: Path, text: str) -> str:
    """Return why a key with *text* has no content; the host must evaluate."""
    with pytest.raises(KeyContentError) as caught:
        texts(checkout, f"bot.text = {text};")
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter" not in shown
    return str(caught.value)


# --- texts -----------------------------------------------------------------------


def test_texts_are_exact(tmp_path: Path) -> None:
    folder = tmp_path / "hosts/keanu"
    folder.mkdir(parents=True)
    binary = bytes(range(1, 256))
    (folder / "binary").write_bytes(binary)
    (folder / "lines").write_bytes(b'a="b"\n\n\\ $x ${y}\r\n\xc3\xa4')

    found = texts(
        tmp_path,
        """
        bare = "hunter2";
        empty.text = "";
        lines.text = builtins.readFile ./lines;
        module = { name, ... }: { text = "I am ${name}"; };
        late = { text = lib.mkForce "forced"; user = "nobody"; };
        context.text = "${pkgs.coreutils}/bin/true";
        """,
    )

    assert found.pop("context").startswith(b"/nix/store/")
    assert found == {
        "bare": b"hunter2",
        "empty": b"",
        "lines": (folder / "lines").read_bytes(),
        "module": b"I am module",
        "late": b"forced",
    }


def test_bytes_that_are_no_text_are_exact_or_told(tmp_path: Path) -> None:
    """Old Nix prints them as they are; newer ones cannot print them as JSON."""
    folder = tmp_path / "hosts/keanu"
    folder.mkdir(parents=True)
    binary = bytes(range(1, 256))
    (folder / "binary").write_bytes(binary)

    evaluator = declared(tmp_path, "b.text = builtins.readFile ./binary;")
    desired = evaluator.evaluate(tmp_path, KEANU)
    keyring = Keyring(evaluator, SecretsSettings())
    found = keyring.contents(desired, tmp_path, ["b"])

    assert found == {"b": binary} or (
        "use keyFile" in keyring.digests(desired, tmp_path).problems["b"]
    )


def test_only_those_asked_for_are_looked_at(tmp_path: Path) -> None:
    keys = 'a.text = "a"; b.text = builtins.readFile ./gone;'

    assert texts(tmp_path, keys, "a") == {"a": b"a"}


def test_a_missing_file_is_named_with_the_place_that_reads_it(tmp_path: Path) -> None:
    said = problem(tmp_path, "builtins.readFile ./secrets/bot.env")

    assert said.startswith("hosts/keanu/secrets/bot.env: neither in the repository")
    assert "repository.secrets" in said
    assert str(tmp_path) not in said


def test_a_missing_file_elsewhere_is_named_in_full(tmp_path: Path) -> None:
    said = problem(tmp_path, "builtins.readFile /gone/bot.env")

    assert said.startswith("the evaluation may not read /gone/bot.env: nix.cage")


def test_a_file_with_a_nul_byte_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "hosts/keanu"
    folder.mkdir(parents=True)
    (folder / "nul").write_bytes(b"hunter\0two")

    assert "hosts/keanu/nul: holds a NUL byte" in problem(
        tmp_path, "builtins.readFile ./nul"
    )


@pytest.mark.parametrize(
    "text",
    [
        'throw "hunter2"',
        'abort "hunter2"',
        'builtins.trace "hunter2" (1 + "hunter3")',
        '{ password = "hunter2"; } + "x"',
        'builtins.fromJSON "{hunter2"',
        'assert "hunter2" == "hunter3"; "x"',
        '(builtins.getAttr "hunter2" { })',
        'builtins.readFile "hunter2"',
    ],
)
def test_what_nix_says_is_not_repeated(tmp_path: Path, text: str) -> None:
    said = problem(tmp_path, text)

    assert "does not evaluate" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[ "hunter2" ]', "deployment.keys.bot.text' is not a string or null in"),
        ('lib.mkMerge [ "hunter2" "hunter3" ]', "has conflicting definitions in"),
        ("null", "its text is null"),
    ],
)
def test_a_text_that_is_none_is_told_in_our_words(
    tmp_path: Path, text: str, said: str
) -> None:
    assert said in problem(tmp_path, text)


def test_a_key_that_has_to_be_null_beside_another_source_may_be(
    tmp_path: Path,
) -> None:
    evaluator = declared(tmp_path, 'a = { text = null; keyFile = "/etc/a"; };')
    (key,) = evaluator.evaluate(tmp_path, KEANU).keys.values()
    assert key.file == "/etc/a"

    declared(tmp_path, 'a = { text = "hunter2"; keyFile = "/etc/a"; };')
    with pytest.raises(EvaluationError, match="exactly one of") as caught:
        evaluator.evaluate(tmp_path, KEANU)
    assert "hunter" not in str(caught.value)


def test_one_missing_file_costs_one_key(tmp_path: Path) -> None:
    evaluator = declared(
        tmp_path,
        'a.text = "a"; b.text = builtins.readFile ./gone; c.text = "c"; d = "d";',
    )
    desired = evaluator.evaluate(tmp_path, KEANU)
    keyring = Keyring(evaluator, SecretsSettings())

    found = keyring.digests(desired, tmp_path)

    assert set(found.known) == {"a", "c", "d"}
    assert found.known["a"] == hashlib.sha256(b"a").hexdigest()
    assert found.problems["b"].startswith("hosts/keanu/gone: neither")


# --- the example, with secrets laid over it --------------------------------------


@dataclass
class Laid:
    """The example repository as the reconciler has it: a checkout and a folder."""

    path: Path
    secret: bytes
    evaluator: Evaluator = field(init=False)
    keyring: Keyring = field(init=False)
    overlays: Overlays = field(init=False)

    def __post_init__(self) -> None:
        self.checkout = self.path / "state/checkouts/c/source"
        shutil.copytree(ROOT / "examples/repo", self.checkout)
        self.local = self.path / "local"
        self.local.mkdir()
        folder = "common/services/secrets"
        base = settings()
        self.settings = Settings(
            repository=RepositorySettings(
                url="/srv/git/x.git",
                secrets={folder: OverlaySettings(path=self.local)},
            ),
            nix=base.nix,
        )
        self.overlays = Overlays(self.settings.repository.folders_of_secrets)
        self.evaluator = Evaluator(self.settings, overlays=self.overlays.fingerprint)
        self.keyring = Keyring(self.evaluator, self.settings.secrets)

    def save(self, content: bytes) -> None:
        """Do as a person who saves the secret, in the way of most editors."""
        aside = self.path / "aside"
        aside.write_bytes(content)
        aside.replace(self.local / "withinbot.env")

    def look(self) -> tuple[Desired, Digests]:
        """Do as a pass does."""
        self.overlays.lay(self.checkout)
        desired = self.evaluator.evaluate(self.checkout, HostName("lufta"))
        return desired, self.keyring.digests(desired, self.checkout)

    def contents(self, desired: Desired) -> dict[str, bytes]:
        """Return what would be delivered."""
        return self.keyring.contents(desired, self.checkout, desired.keys)


@pytest.fixture
def laid(tmp_path: Path) -> Laid:
    # Another one each time: the store is searched for it.
    return Laid(tmp_path, f"WITHINBOT_TOKEN={secrets.token_hex(16)}\n".encode())


def test_saving_a_file_is_seen_at_once(laid: Laid) -> None:
    lufta = HostName("lufta")
    desired, found = laid.look()
    before = laid.evaluator.cache_key("tree", lufta)
    assert found.problems["withinbot"].startswith(
        "common/services/secrets/withinbot.env: neither in the repository"
    )
    assert desired.units

    laid.save(laid.secret)
    again, found = laid.look()
    assert again == desired
    assert found.known == {"withinbot": hashlib.sha256(laid.secret).hexdigest()}
    assert laid.contents(desired) == {"withinbot": laid.secret}
    after = laid.evaluator.cache_key("tree", lufta)

    laid.save(b"other\n")
    assert laid.look()[1].known["withinbot"] == hashlib.sha256(b"other\n").hexdigest()
    assert len({before, after, laid.evaluator.cache_key("tree", lufta)}) == 3


# --- leaks -----------------------------------------------------------------------


@contextmanager
def sampled(secret: bytes) -> Iterator[list[str]]:
    """Look all the while into every process's arguments and environment."""
    found: list[str] = []
    done = threading.Event()

    def sample() -> None:
        while not done.is_set():
            for kind in ("cmdline", "environ"):
                found.extend(_holding(secret, Path("/proc").glob(f"[0-9]*/{kind}")))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def _holding(secret: bytes, files: Iterator[Path]) -> list[str]:
    found = []
    for file in files:
        try:
            if secret in file.read_bytes():
                found.append(str(file))
        except OSError:  # it ended meanwhile
            continue
    return found


def leaks(secret: bytes, *folders: Path) -> list[str]:
    """Return the files below *folders* that hold *secret*; links are not followed."""
    found = []
    for folder in folders:
        for place, _folders, names in os.walk(folder):
            files = (Path(place, name) for name in names)
            found += _holding(
                secret, (f for f in files if f.is_file() and not f.is_symlink())
            )
    return found


def new_in_store(before: set[str]) -> list[Path]:
    store = Path("/nix/store")
    return [store / name for name in set(os.listdir(store)) - before]  # noqa: PTH208 -- many


def in_new_paths(secret: bytes, before: set[str]) -> list[str]:
    paths = new_in_store(before)
    single = [path for path in paths if path.is_file() and not path.is_symlink()]
    return _holding(secret, iter(single)) + leaks(secret, *paths)


def remember(laid: Laid, desired: Desired) -> None:
    """Do as the loop does with what was evaluated."""
    history = History.open(laid.path / "state/history.sqlite")
    cache_key = laid.evaluator.cache_key("tree", desired.host)
    history.save_evaluation(cache_key, to_json(desired), now=1.0)
    history.close()


@pytest.fixture
def everything(laid: Laid) -> Callable[[], str]:
    """Return what does all that this side does, and returns all that it said."""
    token = laid.secret.strip().partition(b"=")[2]
    lufta = laid.checkout / "hosts/lufta/configuration.nix"
    identity = laid.path / "age.key"
    key = pyrage.x25519.Identity.generate()
    identity.write_text(str(key))
    (laid.checkout / "bot.age").write_bytes(pyrage.encrypt(token, [key.to_public()]))
    laid.save(laid.secret)
    laid.keyring = Keyring(
        laid.evaluator, SecretsSettings(identity=(identity,), command_timeout=5)
    )
    file = laid.local / "withinbot.env"
    nix_file = "../../common/services/secrets/withinbot.env"
    more = f"""
      deployment.keys = {{
        age.keyFile = ../../bot.age;
        file.keyFile = {nix_file};
        good.keyCommand = [ "cat" "{file}" ];
        bad.keyCommand = [ "sh" "-c" "cat {file}; cat {file} >&2; exit 3" ];
        thrown.text = throw (builtins.readFile {nix_file});
        list.text = [ (builtins.readFile {nix_file}) ];
      }};
      environment.etc.repository.source = ../../.;
    """
    text = lufta.read_text()
    lufta.write_text(text.rstrip().removesuffix("}") + more + "}\n")

    def run() -> str:
        said = []
        desired, digests = laid.look()
        laid.evaluator.build(
            desired, root=laid.path / "state/roots/lufta", on_line=said.append
        )
        remember(laid, desired)
        assert from_json(to_json(desired)) == desired
        found = laid.contents(desired)
        whole = {name for name, content in found.items() if token in content}
        assert whole == {"age", "file", "good", "withinbot"}
        assert set(digests.problems) == {"bad", "list", "thrown"}
        said += [repr(desired), repr(digests), *digests.problems.values()]
        with pytest.raises(KeyContentError) as caught:
            laid.evaluator.key_texts(laid.checkout, HostName("lufta"), ["thrown"])
        said += traceback.format_exception(caught.value, chain=True)
        return "\n".join(said)

    return run


def test_a_secret_is_nowhere_but_where_it_was(
    laid: Laid,
    everything: Callable[[], str],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    before = set(os.listdir("/nix/store"))  # noqa: PTH208 -- many
    token = laid.secret.strip().partition(b"=")[2]
    with sampled(token) as in_processes:
        said = everything()

    printed = capfd.readouterr()
    assert token.decode() not in said + caplog.text + printed.out + printed.err
    assert "nix-instantiate" in printed.out  # the log was on
    assert in_processes == []
    assert new_in_store(before)
    assert in_new_paths(token, before) == []
    assert leaks(token, laid.path) == [str(laid.local / "withinbot.env")]
    digest = hashlib.sha256(laid.secret).hexdigest().encode()
    assert digest.decode() not in said + printed.out
    assert leaks(digest, laid.path / "state") == []


@pytest.mark.parametrize("where", ["store", "state", "environment"])
def test_the_search_finds_what_is_planted(
    laid: Laid, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = laid.secret.strip().partition(b"=")[2]
    laid.save(laid.secret)
    before = set(os.listdir("/nix/store"))  # noqa: PTH208 -- many
    if where == "store":
        text = f'environment.etc.leak.text = "{token.decode()}";'
        file = laid.checkout / "hosts/lufta/configuration.nix"
        file.write_text(file.read_text().rstrip().removesuffix("}") + text + "}\n")
    if where == "environment":
        monkeypatch.setenv("LEAK", token.decode())
    with sampled(token) as in_processes:
        desired, _ = laid.look()
    if where == "state":
        (laid.path / "state/leak").write_bytes(b"x" * 99 + laid.secret)

    assert bool(in_new_paths(token, before)) is (where == "store")
    assert bool(leaks(token, laid.path / "state")) is (where in {"state", "store"})
    assert bool(in_processes) is (where == "environment")
    assert desired.keys
