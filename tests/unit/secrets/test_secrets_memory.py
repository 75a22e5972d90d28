"""Memory: no core, and a place to edit that is never on a disk."""

import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.errors import KeyContentError
from reconciler.secrets.scratch import is_in_memory, scratch_file

ASK = """
import ctypes, os, resource
from reconciler.secrets import protect
protect()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),
      flush=True)
os.abort()
"""
SHM = Path("/dev/shm")  # noqa: S108 -- only looked at


def test_a_crash_leaves_no_core(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )

    assert done.stdout == "(0, 0) 0\n", done.stderr
    assert done.returncode < 0
    assert list(tmp_path.iterdir()) == []


def test_mounts_tell_what_is_in_memory(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\n"
        "tmpfs /run tmpfs rw 0 0\n"
        "/dev/sdb /run/disk ext4 rw 0 0\n"
        "ramfs /with\\040space ramfs rw 0 0\n"
        "tmpfs /twice tmpfs rw 0 0\n"
        "/dev/sdc /twice ext4 rw 0 0\n"
    )
    found = {
        path: is_in_memory(Path(path), mounts)
        for path in ("/run", "/run/user/0", "/run/disk/x", "/with space", "/twice", "/")
    }

    assert [path for path, yes in found.items() if yes] == [
        "/run",
        "/run/user/0",
        "/with space",
    ]


def test_without_memory_nothing_is_written(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    if any(f" {tmp_path.parents[-2]} tmpfs" in line for line in mounts.splitlines()):
        pytest.skip("the folder of the tests is in memory")
    with (
        pytest.raises(KeyContentError, match="no folder in memory"),
        scratch_file("a", b"hunter2", candidates=[tmp_path, tmp_path / "gone"]),
    ):
        pytest.fail("it gave a file")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not SHM.is_dir() or not is_in_memory(SHM), reason="no /dev/shm")
def test_what_was_edited_is_gone_with_all_around_it() -> None:
    with scratch_file("bot.env", b"hunter2", candidates=[SHM]) as file:
        folder = file.parent
        assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (
            0o700,
            0o600,
        )
        (folder / "bot.env~").write_bytes(b"hunter2")
        kept = (folder / "bot.env~").open("rb")

    assert not folder.exists()
    with kept:
        assert kept.read() == bytes(7)
