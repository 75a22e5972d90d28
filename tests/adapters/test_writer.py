"""What an evaluation can have done by whoever writes to the store for it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler import process
from reconciler.desired import writer
from reconciler.desired.cage import NixCage
from reconciler.desired.writer import told_writer
from reconciler.errors import CommandError
from reconciler.settings import NixSettings, RepositorySettings, Settings
from tests.adapters.desired_nix import OFFLINE
from tests.support.wait import wait_until, within

pytestmark = [
    pytest.mark.nix,
    pytest.mark.skipif(not shutil.which("bwrap"), reason="there is no bubblewrap"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a daemon trusts root alone"),
]

BUILT = """derivation {
  name = "built"; system = builtins.currentSystem; builder = "/bin/sh";
  args = [ "-c" "echo >$out" ]; time = builtins.currentTime;
}"""


@dataclass(frozen=True)
class Attack:
    """A build for which whoever asks names a program that the daemon is to run."""

    folder: Path

    @property
    def marker(self) -> Path:
        """What the program leaves behind."""
        return self.folder / "marker"

    def argv(self) -> tuple[str, ...]:
        """Return what asks for it."""
        hook = self.folder / "hook"
        hook.write_text(f"#!/bin/sh\n/usr/bin/touch {self.marker}\n")
        hook.chmod(0o755)
        done = process.run(
            ["nix-instantiate", *_offline(), "--expr", BUILT], deadline=60
        )
        options = ("--option", "post-build-hook", str(hook))
        return ("nix-store", "--realise", done.stdout.strip(), *_offline(), *options)


def _offline() -> list[str]:
    return [word for pair in OFFLINE.items() for word in ("--option", *pair)]


@pytest.fixture
def attack() -> Iterator[Attack]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # so that nobody gets there
        yield Attack(Path(folder))


@pytest.fixture
def daemon(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the machine's daemon be one of root's."""
    path = attack.folder / "socket"
    env = {**os.environ, "NIX_REMOTE": "local", "NIX_DAEMON_SOCKET_PATH": str(path)}
    argv = ["nix-daemon", *_offline()]
    with subprocess.Popen(argv, env=env, stderr=subprocess.DEVNULL) as running:
        try:
            wait_until(path.is_socket, 20, "the daemon of Nix")
            monkeypatch.setenv("NIX_REMOTE", f"unix://{path}")
            yield
        finally:
            running.terminate()


def _in_cage(argv: tuple[str, ...], folder: Path) -> None:
    nix = NixSettings.model_validate({"options": OFFLINE})
    settings = Settings(
        repository=RepositorySettings(url="/srv/x.git"), nix=nix, state=folder
    )
    with NixCage(settings, trusted=True).around(argv, folder) as (words, _):
        process.run(words, deadline=60)


@pytest.mark.usefixtures("daemon")
def test_the_machines_daemon_obeys_no_evaluation_though_it_obeys_root(
    attack: Attack, tmp_path: Path
) -> None:
    process.run(attack.argv(), deadline=60)
    assert attack.marker.exists()
    attack.marker.unlink()

    _in_cage(attack.argv(), tmp_path)

    assert not attack.marker.exists()
    assert told_writer().endswith(", asked as nobody")


@pytest.mark.usefixtures("daemon")
def test_where_nobody_may_not_ask_it_root_does_and_people_are_told(
    attack: Attack, tmp_path: Path
) -> None:
    attack.folder.chmod(0o700)

    with within(10.0):  # nobody waits for an answer of one that has ended
        _in_cage(attack.argv(), tmp_path)

    assert ", asked as root, whom it obeys: nobody may not ask it" in told_writer()


@pytest.mark.usefixtures("daemon")
def test_the_socket_itself_is_not_there(attack: Attack, tmp_path: Path) -> None:
    argv = ("test", "!", "-e", str(attack.folder / "socket"))

    _in_cage(argv, tmp_path)


def test_nor_is_a_socket_beside_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where we write to the store ourselves there may be a daemon, too."""
    state = tmp_path / "var"
    (state / "daemon-socket").mkdir(parents=True)
    (state / "daemon-socket/socket").touch()
    (state / "db").mkdir()
    monkeypatch.setenv("NIX_STATE_DIR", str(state))
    monkeypatch.setenv("NIX_REMOTE", "local")

    _in_cage(("test", "-d", str(state / "db")), tmp_path)
    with pytest.raises(CommandError):
        _in_cage(("test", "-e", str(state / "daemon-socket/socket")), tmp_path)


@pytest.mark.skipif(
    not shutil.which("nix-daemon") or not writer.can_distrust(),
    reason="this Nix trusts whoever asks a daemon of ours",
)
def test_a_daemon_of_ours_obeys_no_evaluation(attack: Attack, tmp_path: Path) -> None:
    _in_cage(attack.argv(), tmp_path)

    assert not attack.marker.exists()
    assert "obeys no option of an evaluation" in told_writer()
