"""Where the contents of keys come from, and what bad sources are told."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pyrage
import pytest

from reconciler.errors import CommandTimeoutError, KeyContentError
from reconciler.model import (
    Desired,
    DesiredKey,
    HostName,
    KeyOrigin,
    StorePath,
    Target,
)
from reconciler.secrets import Keyring
from reconciler.secrets.keyring import COMMAND_SECONDS, READ_SECONDS, RETRY_SECONDS
from reconciler.settings import SecretsSettings
from tests.support.wait import within

KEANU = HostName("keanu")
SECRET = b"hunter2\n"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Texts:
    """Nix as the keyring sees it: some texts, and some that fail."""

    good: dict[str, bytes] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    version: str = "1"
    asked: list[tuple[str, ...]] = field(default_factory=list)
    slow: bool = False

    def key_texts(
        self, _checkout: Path, _host: HostName, names: Sequence[str]
    ) -> dict[str, bytes]:
        """Return the texts, or fail as Nix does."""
        self.asked.append(tuple(names))
        if self.slow:
            raise CommandTimeoutError(["nix-instantiate"], seconds=5, stderr="")
        for name in names:
            if name in self.bad:
                raise KeyContentError(self.bad[name])
        return {name: self.good[name] for name in names}

    def cache_key(self, tree: str, host: HostName) -> str:
        """Return what changes with the version."""
        return f"{tree} {host} {self.version}"


@dataclass
class Rig:
    """A keyring with a clock, a checkout and an identity."""

    checkout: Path
    texts: Texts = field(default_factory=Texts)
    now: float = 0.0
    command_timeout: float = 20.0

    def __post_init__(self) -> None:
        self.identity = self.checkout.parent / "age.key"
        key = pyrage.x25519.Identity.generate()
        self.identity.write_text(f"# created: today\n{key}\n")
        self.public = key.to_public()
        self.keyring = self.make(self.identity)

    def make(self, *identity: Path) -> Keyring:
        """Return another keyring, with these identities."""
        settings = SecretsSettings(
            identity=identity, command_timeout=self.command_timeout
        )
        return Keyring(self.texts, settings, clock=lambda: self.now)

    def desired(self, *keys: DesiredKey) -> Desired:
        """Return a host with these keys."""
        return Desired(
            host=KEANU,
            toplevel=StorePath("/nix/store/t"),
            derivation=StorePath("/nix/store/t.drv"),
            units=MappingProxyType({}),
            target=Target(address="keanu"),
            keys={key.name: key for key in keys},
        )

    def known(self, *keys: DesiredKey) -> dict[str, str]:
        """Return the digests of keys that have no problem."""
        found = self.keyring.digests(self.desired(*keys), self.checkout)
        assert not found.problems
        return dict(found.known)

    def problem(self, key: DesiredKey) -> str:
        """Return what is wrong with a key that cannot be had."""
        desired = self.desired(key)
        found = self.keyring.digests(desired, self.checkout)
        assert not found.known
        assert self.keyring.contents(desired, self.checkout, [key.name]) == {}
        (text,) = found.problems.values()
        assert "hunter" not in text
        return text

    def contents(self, *keys: DesiredKey) -> dict[str, bytes]:
        """Return what the keys hold."""
        names = [key.name for key in keys]
        return self.keyring.contents(self.desired(*keys), self.checkout, names)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    checkout = tmp_path / "source"
    checkout.mkdir()
    return Rig(checkout)


def text(name: str) -> DesiredKey:
    return DesiredKey(name=name, path=f"/run/keys/{name}", origin=KeyOrigin.TEXT)


def from_file(file: str | Path, name: str = "f") -> DesiredKey:
    path = f"/run/keys/{name}"
    return DesiredKey(name=name, path=path, origin=KeyOrigin.FILE, file=str(file))


def command(*argv: str, name: str = "c") -> DesiredKey:
    path = f"/run/keys/{name}"
    return DesiredKey(name=name, path=path, origin=KeyOrigin.COMMAND, command=argv)


def shell(script: str) -> DesiredKey:
    return command("sh", "-c", script)


# --- texts -----------------------------------------------------------------------


def test_texts_are_asked_for_once_until_something_changes(rig: Rig) -> None:
    rig.texts.good = {"a": b"A", "b": b"B"}
    keys = (text("a"), text("b"))

    assert rig.known(*keys) == {"a": digest(b"A"), "b": digest(b"B")}
    rig.known(*keys)
    assert rig.texts.asked == [("a", "b")]

    rig.texts.good["b"] = b"other"
    rig.texts.version = "2"
    assert rig.known(*keys)["b"] == digest(b"other")

    rig.now += 100 * READ_SECONDS
    rig.known(*keys)
    assert len(rig.texts.asked) == 2, "nothing that Nix reads has changed"


def test_a_text_that_failed_is_asked_for_again_after_a_while(rig: Rig) -> None:
    rig.texts.bad = {"a": "a.txt: No such file or directory"}
    rig.problem(text("a"))
    asked = len(rig.texts.asked)
    rig.texts.good, rig.texts.bad = {"a": b"A"}, {}
    rig.now += READ_SECONDS

    assert rig.known(text("a")) == {"a": digest(b"A")}
    assert len(rig.texts.asked) == asked + 1


def test_two_commits_do_not_push_each_other_out(rig: Rig) -> None:
    """A host in quarantine is compared with the newest, and kept by the one before."""
    rig.texts.good = {"a": b"A"}
    ran = rig.checkout.parent / "ran"
    key, other = text("a"), shell(f"echo x >> {ran}; echo hunter2")
    before = rig.checkout
    newest = rig.checkout.parent / "newest"
    newest.mkdir()
    for _ in range(3):
        for checkout in (newest, before):
            rig.checkout = checkout
            rig.known(key, other)

    assert len(rig.texts.asked) == 2
    assert ran.read_text() == "x\nx\n"


def test_contents_are_never_remembered(rig: Rig) -> None:
    rig.texts.good = {"a": b"A"}
    assert rig.contents(text("a")) == {"a": b"A"}
    assert rig.contents(text("a")) == {"a": b"A"}

    assert len(rig.texts.asked) == 2
    assert b"A" not in vars(rig.keyring).values()
    assert rig.known(text("a")) == {"a": digest(b"A")}
    assert len(rig.texts.asked) == 2


def test_one_bad_text_leaves_the_others(rig: Rig) -> None:
    rig.texts.good = {name: name.encode() for name in "abcdefgh"}
    rig.texts.bad = {"c": "secrets/c: gone"}
    desired = rig.desired(*map(text, "abcdefgh"))

    found = rig.keyring.digests(desired, rig.checkout)

    assert found.problems == {"c": "secrets/c: gone"}
    assert set(found.known) == set("abdefgh")
    assert len(rig.texts.asked) <= 7
    assert set(rig.keyring.contents(desired, rig.checkout, "abc")) == {"a", "b"}


def test_an_evaluation_without_end_is_not_begun_again_for_each(rig: Rig) -> None:
    rig.texts.slow = True
    found = rig.keyring.digests(rig.desired(text("a"), text("b")), rig.checkout)

    assert set(found.problems) == {"a", "b"}
    assert "did not end within 5 s" in found.problems["a"]
    assert len(rig.texts.asked) == 1


# --- files -----------------------------------------------------------------------


def test_a_file_is_taken_byte_for_byte_and_read_again_when_it_changes(
    rig: Rig, tmp_path: Path
) -> None:
    content = bytes(range(256))
    (rig.checkout / "key").write_bytes(content)
    (tmp_path / "absolute").write_bytes(b"")
    keys = (from_file("key"), from_file(tmp_path / "absolute", "g"))

    assert rig.contents(*keys) == {"f": content, "g": b""}
    assert rig.known(*keys) == {"f": digest(content), "g": digest(b"")}

    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "new").replace(rig.checkout / "key")
    assert rig.known(*keys)["f"] == digest(b"new")


def test_what_is_no_readable_file_is_told(rig: Rig, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * ((1 << 20) + 1))
    (tmp_path / "git-crypt").write_bytes(b"\0GITCRYPT\0hunter2")

    def said(file: str | Path) -> str:
        return rig.problem(from_file(file))

    assert said("secrets/key") == (
        "secrets/key: neither in the repository nor in a folder of repository.secrets"
    )
    assert said("/gone/key") == "/gone/key: No such file or directory"
    assert said(tmp_path) == f"{tmp_path}: is no file"
    assert said(tmp_path / "pipe").endswith("pipe: is no file")
    assert said(tmp_path / "large").endswith("large: is larger than 1 MiB")
    assert "git-crypt" in said(tmp_path / "git-crypt")


# --- encrypted files -------------------------------------------------------------


def encrypted(rig: Rig, content: bytes = SECRET, *, armored: bool = True) -> Path:
    file = rig.checkout / "key.age"
    file.write_bytes(pyrage.encrypt(content, [rig.public], armored=armored))
    return file


@pytest.mark.parametrize("armored", [True, False])
def test_an_encrypted_file_is_decrypted(rig: Rig, *, armored: bool) -> None:
    encrypted(rig, bytes(range(256)), armored=armored)

    assert rig.contents(from_file("key.age")) == {"f": bytes(range(256))}


def test_an_ssh_key_is_an_identity_too(rig: Rig, tmp_path: Path) -> None:
    key = tmp_path / "id"
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(argv, check=True, timeout=100)
    public = pyrage.ssh.Recipient.from_str((tmp_path / "id.pub").read_text())
    (rig.checkout / "key.age").write_bytes(pyrage.encrypt(SECRET, [public]))
    rig.keyring = rig.make(rig.identity, key)

    assert rig.contents(from_file("key.age")) == {"f": SECRET}


def test_an_undecryptable_file_says_why(rig: Rig, tmp_path: Path) -> None:
    file = encrypted(rig)
    key = from_file("key.age")
    other = tmp_path / "other.key"
    other.write_text(str(pyrage.x25519.Identity.generate()))

    rig.keyring = rig.make(other)
    assert rig.problem(key) == (
        f"key.age: cannot be decrypted: it is encrypted for others than {other}"
    )
    rig.keyring = rig.make()
    assert "there is no identity" in rig.problem(key)
    rig.keyring = rig.make(tmp_path / "gone")
    assert rig.problem(key) == f"{tmp_path}/gone: No such file or directory"
    other.write_text("AGE-SECRET-KEY-1HUNTER2")
    rig.keyring = rig.make(other)
    assert "is no identity" in rig.problem(key)
    assert "HUNTER" not in rig.problem(key)

    rig.keyring = rig.make(rig.identity)
    file.write_bytes(file.read_bytes()[:-80])
    assert "damaged" in rig.problem(key)


def test_a_new_identity_is_tried_at_once(rig: Rig) -> None:
    encrypted(rig)
    kept = rig.identity.read_text()
    rig.identity.write_text(str(pyrage.x25519.Identity.generate()))
    rig.problem(from_file("key.age"))

    rig.identity.write_text(kept)

    assert rig.known(from_file("key.age")) == {"f": digest(SECRET)}


# --- commands --------------------------------------------------------------------


def test_a_command_runs_in_the_checkout_and_its_output_is_exact(rig: Rig) -> None:
    (rig.checkout / "data").write_bytes(b"\0\xff\n")

    assert rig.contents(command("cat", "data")) == {"c": b"\0\xff\n"}


def test_a_command_runs_again_after_a_while(rig: Rig) -> None:
    count = shell("echo x >>runs; wc -l <runs")

    first = rig.known(count)
    assert rig.known(count) == first
    rig.now += COMMAND_SECONDS
    assert rig.known(count) != first


def test_what_was_delivered_is_what_is_expected(rig: Rig) -> None:
    """A command that never says the same must not be delivered again at once."""
    count = shell("echo x >>runs; wc -l <runs")
    rig.known(count)

    (content,) = rig.contents(count).values()

    assert rig.known(count) == {"c": digest(content)}


def test_a_failed_command_is_tried_again_sooner(rig: Rig) -> None:
    key = shell("test -e ready && echo hunter2")
    assert "exited with status 1" in rig.problem(key)
    (rig.checkout / "ready").touch()

    rig.now += RETRY_SECONDS

    assert rig.known(key) == {"c": digest(SECRET)}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo hunter2; echo hunter3 >&2; exit 3", "exited with status 3"),
        ("echo hunter2; kill -9 $$", "was ended by signal 9"),
    ],
)
def test_a_command_that_fails_is_not_quoted(rig: Rig, script: str, said: str) -> None:
    assert rig.problem(shell(script)) == f"keyCommand 'sh' {said}"


def test_a_command_that_is_not_there(rig: Rig) -> None:
    assert "'nosuch-command' was not found" in rig.problem(command("nosuch-command"))
    (rig.checkout / "plain").touch()
    assert "'./plain' exited with status 126" in rig.problem(command("./plain"))
    assert "arguments" in rig.problem(command("echo", "hunter\0two"))


def test_a_command_without_end_is_stopped(tmp_path: Path) -> None:
    checkout = tmp_path / "source"
    checkout.mkdir()
    rig = Rig(checkout, command_timeout=0.3)
    wanted = rig.desired(shell("echo hunter2; sleep 97"))

    with within(10.0):
        found = rig.keyring.digests(wanted, checkout)

    assert found.problems == {
        "c": "keyCommand 'sh' did not end within 0.3 s and was stopped"
    }


def test_a_hundred_megabytes_are_not_kept(rig: Rig) -> None:
    flood = shell("head -c 100000000 /dev/zero | tr '\\0' h")

    assert (
        rig.problem(flood) == "keyCommand 'sh' printed more than 1 MiB and was stopped"
    )


def test_a_megabyte_is_taken(rig: Rig) -> None:
    (content,) = rig.contents(shell("head -c 1048576 /dev/zero")).values()

    assert len(content) == 1 << 20


def test_no_value_shows_a_digest(rig: Rig) -> None:
    (rig.checkout / "key").write_bytes(SECRET)
    found = rig.keyring.digests(rig.desired(from_file("key")), rig.checkout)

    assert digest(SECRET) in found.known.values()
    assert digest(SECRET) not in repr(found)
