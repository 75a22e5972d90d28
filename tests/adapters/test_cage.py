"""Programs that a commit names, and what they get at, with a real bubblewrap."""

import os
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from reconciler import process
from reconciler.errors import CommandError
from reconciler.process import Cage, cage_problem

pytestmark = pytest.mark.skipif(
    not shutil.which("bwrap"), reason="bubblewrap is not installed"
)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Give a state directory, and a checkout in it that all may read."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o005 != 0o005 and folder.owner() == "root":
            folder.chmod(0o755)
        if folder == Path("/tmp"):  # noqa: S108 -- where pytest's folders are
            break
    state = tmp_path / "state"
    (state / "checkout").mkdir(parents=True)
    script = state / "checkout/script"
    script.write_text("#!/bin/sh\necho of the repository\n")
    script.chmod(0o755)
    with sqlite3.connect(state / "history.sqlite") as database:
        database.execute("create table events (text)")
    (tmp_path / "id_ed25519").write_text("the key of all hosts")
    return state


def caged(state: Path, *argv: str, shown: Sequence[Path] = ()) -> str:
    cage = Cage(hidden=(state, state.parent / "id_ed25519"), shown=tuple(shown))
    words = cage.around(argv, folder=state / "checkout")
    return process.run(words, deadline=20, cwd=state / "checkout").stdout


def test_there_is_one_here() -> None:
    assert cage_problem() == ""


def test_it_runs_what_the_repository_has(state: Path) -> None:
    assert caged(state, "./script") == "of the repository\n"
    assert caged(state, "sh", "-c", "echo $HOME; pwd").splitlines() == [
        os.environ["HOME"],
        str(state / "checkout"),
    ]


@pytest.mark.parametrize(
    "attack",
    [
        "echo 'delete from events' >{state}/history.sqlite",
        "rm {state}/history.sqlite",
        "cat {state}/history.sqlite",
        "test -s {home}/id_ed25519",
        "echo more >{state}/checkout/script",
        "echo more >{home}/left",
        "kill -0 {pid}",
        "ls /proc/{pid}",
        "cat /etc/shadow",
    ],
)
def test_what_it_does_not_get_at(state: Path, attack: str) -> None:
    script = attack.format(state=state, home=state.parent, pid=os.getpid())
    if "/etc/shadow" in attack and os.geteuid() != 0:
        pytest.skip("nobody reads it anyway")

    with pytest.raises(CommandError):
        caged(state, "sh", "-c", script)


def test_the_socket_is_not_there(state: Path) -> None:
    with socket.socket(socket.AF_UNIX) as api:
        api.bind(str(state / "api.sock"))
        api.listen()
        listed = caged(state, "ls", str(state))

    assert listed == "checkout\n"


def test_what_is_shown_may_be_written(state: Path, tmp_path: Path) -> None:
    store = tmp_path / "passwords"
    store.mkdir()
    if os.geteuid() == 0:
        shutil.chown(store, "nobody")
    caged(state, "touch", str(store / "new"), shown=[store])

    assert (store / "new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is anybody else")
def test_root_is_nobody(state: Path) -> None:
    assert caged(state, "id", "-un") == "nobody\n"
    done = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True)
    assert done.stdout == "root\n"
