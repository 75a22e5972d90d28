"""
Keys in a folder that its user may write, and swaps links in all the time.

Whatever comes of the delivery, nothing of root's changes or is given away. RACE_SECONDS
says how long each way is tried.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from reconciler.apply import deliver_keys, remove_keys
from reconciler.apply.scripts import script
from tests.support import swapper
from tests.support.leaks import marked
from tests.unit.apply.test_keys import LocalWriter, folder, key, writer

__all__ = ["folder", "writer"]  # fixtures

SECONDS = float(os.environ.get("RACE_SECONDS", "0.4"))
USER = "daemon"
SECRET = marked()
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="owners are root's to set"),
    pytest.mark.timeout(SECONDS * 2 + 60),
]

Tree = dict[str, tuple[int, int, int, int, bytes]]


def tree(top: Path) -> Tree:
    """Return what would tell that anything was changed below *top*."""
    return {
        str(path): (
            path.lstat().st_mode,
            path.lstat().st_uid,
            path.lstat().st_gid,
            path.lstat().st_nlink,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in (top, *sorted(top.rglob("*")))
    }


@contextlib.contextmanager
def swapping(kind: str, home: Path, victim: Path) -> Iterator[None]:
    """Have the owner of *home* swap what is in it until the end."""
    argv = [sys.executable, swapper.__file__, kind, home, victim, USER]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"swapping\n"
            yield
            assert process.poll() is None
        finally:
            process.kill()


@pytest.fixture
def victim(folder: Path) -> Path:
    """Give a folder of root's own, with files that are like keys."""
    victim = folder / "victim"
    victim.mkdir(mode=0o700)
    (victim / "below").mkdir(mode=0o700)
    for file in (victim / "bot", victim / "below" / "bot"):
        file.write_bytes(SECRET)  # the right content: only its owner is to be set
        file.chmod(0o600)
    return victim


@pytest.fixture
def home(folder: Path) -> Path:
    """Give a folder that its user may write."""
    (folder / "svc" / "keys").mkdir(parents=True)
    for path in (folder / "svc", folder / "svc" / "keys"):
        shutil.chown(path, USER, USER)
    return folder / "svc" / "keys"


@pytest.mark.parametrize("kind", swapper.KINDS)
def test_nothing_of_roots_is_given_away(
    writer: LocalWriter, home: Path, victim: Path, kind: str
) -> None:
    before = tree(victim)
    file, below = home / "bot", home / "below" / "bot"
    tries = cycle(
        [
            [(key(file, user=USER, mode=0o640), SECRET)],
            [(key(file, user=USER, mode=0o666), None)],
            [(key(below, user=USER, mode=0o640), SECRET + b"2")],
            [(key(file, user=USER, mode=0o600), SECRET)],
        ]
    )

    with swapping(kind, home, victim):
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            deliver_keys(writer, next(tries), deadline=20, on_line=str)
            remove_keys(writer, [str(below)], deadline=20, on_line=str)
            assert tree(victim) == before
    assert tree(victim) == before


def keep_and_restore(shell: list[str], work: Path, path: Path) -> None:
    """Keep a key aside as guard.sh does, and put it back as guardian.sh does."""
    (work / "dir.new").mkdir(exist_ok=True)
    (work / "kept-keys").mkdir(exist_ok=True)
    guard, guardian = (
        script(name).rpartition(end)[0]
        for name, end in (("guard", "\nif ["), ("guardian", '\n"$1"'))
    )
    guard = guard.rpartition('\nif [ "$verb" = bury ]')[0]
    keep = f"{guard}\ndir={work}/dir kept={work}/kept-keys\nkeep_keys {path}\n"
    run = [*shell, "-c", keep, "guard", "state", "attempt", "0", "0"]
    subprocess.run(run, check=False, capture_output=True, timeout=20)
    (work / "keys").write_bytes((work / "dir.new" / "keys").read_bytes())
    (work / "kept").write_text(f"{work}/kept-keys\n")
    run = [*shell, "-c", f"{guardian}\nrestore_keys", "guardian", "run", str(work)]
    subprocess.run(run, check=False, capture_output=True, timeout=20)


@pytest.mark.parametrize("kind", swapper.KINDS)
def test_nothing_of_roots_is_given_away_by_going_back(
    writer: LocalWriter, home: Path, victim: Path, tmp_path: Path, kind: str
) -> None:
    before = tree(victim)
    bot = key(home / "bot", user=USER)
    deliver_keys(writer, [(bot, SECRET)], deadline=20, on_line=str)

    with swapping(kind, home, victim):
        ends = time.monotonic() + SECONDS
        while time.monotonic() < ends:
            keep_and_restore(writer.shell, tmp_path, home / "bot")
            kept = tmp_path / "kept-keys" / "1"
            assert not kept.exists() or kept.stat().st_uid != 0
            kept.unlink(missing_ok=True)
            assert tree(victim) == before
    assert tree(victim) == before
