"""``reconciler secrets``, with real editors that are small scripts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
from typer.testing import CliRunner, Result

from reconciler.cli import secrets
from reconciler.cli.common import Chosen
from reconciler.errors import KeyContentError
from tests.support.wait import wait_until

SHM = Path("/dev/shm")  # noqa: S108 -- only looked at


class Repo:
    """A repository with a list of one recipient, and a person in it."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path / "repo"
        (self.path / ".git").mkdir(parents=True)
        self.key = pyrage.x25519.Identity.generate()
        self.identity = path / "age.key"
        self.identity.write_text(f"{self.key}\n")
        self.monkeypatch = monkeypatch
        monkeypatch.chdir(self.path)
        monkeypatch.setenv("HOME", str(path / "home"))
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setattr(secrets, "protect", lambda: None)  # not for all the tests
        monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(self, *argv: str, stdin: bytes = b"") -> Result:
        """Run ``reconciler secrets *argv*``; a known error is its exception."""
        chosen = Chosen(config=self.path / "no-settings.yaml")
        return CliRunner().invoke(secrets.secrets, argv, obj=chosen, input=stdin)

    def error(self, *argv: str) -> str:
        """Return the known error that the command ends with."""
        done = self.run(*argv)
        assert isinstance(done.exception, KeyContentError), done.output
        return str(done.exception)

    def editor(self, script: str) -> None:
        """Let the editor be *script*, with the file as ``$1``."""
        file = self.path.parent / "editor"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        self.monkeypatch.setenv("EDITOR", str(file))

    def decrypted(self, name: str) -> bytes:
        """Return what an encrypted file holds."""
        content: bytes = pyrage.decrypt((self.path / name).read_bytes(), [self.key])
        return content


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    repo = Repo(tmp_path, monkeypatch)
    monkeypatch.setenv("RECONCILER_IDENTITY", str(repo.identity))
    done = repo.run("recipients", "add", str(repo.key.to_public()), "--name", "me")
    assert done.exit_code == 0
    return repo


def test_a_secret_is_made_and_changed_in_an_editor(repo: Repo) -> None:
    repo.editor('stat -c "%a %n" "$1" >../seen; printf hunter2 >"$1"')
    assert repo.run("edit", "bot.env.age").exit_code == 0
    assert repo.decrypted("bot.env.age") == b"hunter2"
    mode, place = (repo.path.parent / "seen").read_text().split()
    assert mode == "600"
    assert place.endswith("/bot.env")
    assert not Path(place).parent.exists()

    repo.editor('printf 3 >>"$1"')
    assert repo.run("edit", "bot.env.age").exit_code == 0
    assert repo.decrypted("bot.env.age") == b"hunter23"
    plain = [path for path in repo.path.rglob("*") if path.is_file()]
    assert not [path for path in plain if b"hunter" in path.read_bytes()]


def test_nothing_changes_without_a_change_or_by_a_failed_editor(repo: Repo) -> None:
    repo.run("encrypt", "-o", "a.age", stdin=b"hunter2")
    before = (repo.path / "a.age").read_bytes()

    repo.editor("true")
    assert repo.run("edit", "a.age").exit_code == 0
    repo.editor('echo other >"$1"; exit 3')
    assert "ended with status 3: nothing was changed" in repo.error("edit", "a.age")

    assert (repo.path / "a.age").read_bytes() == before


def test_it_does_not_edit_on_a_disk(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.editor("touch ../began")
    monkeypatch.setattr("reconciler.secrets.scratch.places", lambda: [repo.path])

    assert "no folder in memory" in repo.error("edit", "a.age")
    assert not (repo.path.parent / "began").exists()


def test_a_secret_of_others_is_not_opened(repo: Repo) -> None:
    other = pyrage.x25519.Identity.generate().to_public()
    (repo.path / "a.age").write_bytes(pyrage.encrypt(b"hunter2", [other]))

    assert "encrypted for others" in repo.error("edit", "a.age")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("edit", "plain"), "ends in .age"),
        (("encrypt", "gone", "-o", "a.age"), "gone: No such file"),
        (("encrypt", "-o", "nowhere/a.age"), "cannot be written"),
        (("recipients", "add", "age1junk"), "is no recipient"),
    ],
)
def test_mistakes_are_explained(repo: Repo, argv: tuple[str, ...], said: str) -> None:
    assert said in repo.error(*argv)


def test_a_file_that_is_there_is_not_replaced_by_accident(repo: Repo) -> None:
    (repo.path.parent / "plain").write_bytes(b"\0hunter2")
    assert repo.run("encrypt", "../plain", "-o", "a.age").exit_code == 0
    assert repo.decrypted("a.age") == b"\0hunter2"

    assert "--force" in repo.error("encrypt", "../plain", "-o", "a.age")
    assert repo.run("encrypt", "-", "-o", "a.age", "--force").exit_code == 0
    assert repo.decrypted("a.age") == b""


def test_who_joins_can_decrypt_after_a_rekey(repo: Repo) -> None:
    repo.run("encrypt", "-o", "a.age", stdin=b"hunter2")
    other = pyrage.x25519.Identity.generate()
    public = str(other.to_public())
    encrypted = repo.path / "a.age"

    repo.run("recipients", "add", public)
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(encrypted.read_bytes(), [other])
    assert repo.run("recipients", "rekey").exit_code == 0
    assert pyrage.decrypt(encrypted.read_bytes(), [other]) == b"hunter2"
    assert public in repo.run("recipients", "list").stdout

    assert repo.run("recipients", "remove", public, "--rekey").exit_code == 0
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(encrypted.read_bytes(), [other])
    assert repo.run("recipients", "remove", public).exit_code == 1


def test_a_rekey_that_cannot_open_one_changes_none(repo: Repo) -> None:
    repo.run("encrypt", "-o", "a.age", stdin=b"hunter2")
    other = pyrage.x25519.Identity.generate().to_public()
    (repo.path / "b.age").write_bytes(pyrage.encrypt(b"theirs", [other]))
    before = (repo.path / "a.age").read_bytes()

    assert "b.age: cannot be decrypted" in repo.error("recipients", "rekey")
    assert (repo.path / "a.age").read_bytes() == before


@pytest.mark.parametrize(
    "argv", [(), ("edit",), ("encrypt",), ("recipients",), ("recipients", "add")]
)
def test_help_says_what_to_do(repo: Repo, argv: tuple[str, ...]) -> None:
    done = repo.run(*argv, "--help")

    assert done.exit_code == 0
    assert len(done.output.splitlines()) > 8


PROGRAM = """
from pathlib import Path
from reconciler.cli import secrets
from reconciler.cli.common import Chosen
secrets.secrets(["edit", "a.age"], obj=Chosen(config=Path("none.yaml")))
"""


def test_an_end_in_the_middle_leaves_no_plain_text(repo: Repo) -> None:
    repo.run("encrypt", "-o", "a.age", stdin=b"hunter2")
    repo.editor('echo "$1" >../began.new; mv ../began.new ../began; exec sleep 60')
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment) as program:
        try:
            began = repo.path.parent / "began"
            wait_until(began.exists, 20, "the editor")
            place = Path(began.read_text().strip())
            assert place.read_bytes() == b"hunter2"
            program.send_signal(signal.SIGTERM)
            assert program.wait(100) == 128 + signal.SIGTERM
        finally:
            program.kill()

    assert not place.parent.exists()
