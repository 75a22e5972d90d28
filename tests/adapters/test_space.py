"""Whether a system has room on a host, by the machine's own Nix on both sides."""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconciler.apply.space import Room, look_for_room, require_room, told
from reconciler.errors import CommandError, CopyError, FactError
from reconciler.model import HostName, StorePath

pytestmark = pytest.mark.nix

LUFTA = HostName("lufta")


@dataclass(kw_only=True)
class Here:
    """A host that is this machine, with a database of its own if so told."""

    env: dict[str, str] = field(default_factory=dict)
    answer: str | None = None  # what it says instead, if anything
    host: HostName = LUFTA
    asked: int = 0

    def read(self, script: str, *, what: str, deadline: float) -> str:
        """See HostReader."""
        assert (what, deadline > 0) == ("free space", True)
        self.asked += 1
        if self.answer is not None:
            return self.answer
        done = subprocess.run(
            ["sh"],
            input=script,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout


def add(folder: Path, size: int) -> StorePath:
    """Add a file to the store; return its path."""
    file = folder / f"of-{size}-bytes"
    file.write_bytes(os.urandom(size))
    argv = ["nix-store", "--add", str(file)]
    added = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    return StorePath(added.stdout.strip())


@pytest.fixture
def empty(tmp_path: Path) -> Here:
    """Return a host that lacks everything."""
    return Here(env={"NIX_STATE_DIR": str(tmp_path / "state"), "NIX_REMOTE": ""})


def test_what_is_there_needs_no_room(tmp_path: Path) -> None:
    host = Here()

    room = look_for_room(host, add(tmp_path, 5000))

    status = os.statvfs("/nix/store")
    assert room.need == 0
    assert room.free == pytest.approx(status.f_bavail * status.f_frsize, rel=0.2)
    assert host.asked == 1, "one round trip"


def test_what_is_lacking_needs_what_nix_says(tmp_path: Path, empty: Here) -> None:
    room = look_for_room(empty, add(tmp_path, 70_000))

    assert 70_000 < room.need < 71_000  # in the form in which Nix counts it


def test_a_system_that_was_not_built_is_an_error(empty: Here) -> None:
    with pytest.raises(CommandError):
        look_for_room(empty, StorePath(f"/nix/store/{'0' * 32}-never-built"))


@pytest.mark.parametrize(
    "answer", ["", "free much\n", "/nix/store/other\nfree 1 1\n", "free 1\n"]
)
def test_an_odd_answer_is_refused(tmp_path: Path, answer: str) -> None:
    with pytest.raises(FactError, match="lufta: what it says of its store"):
        look_for_room(Here(answer=answer), add(tmp_path, 10))


def test_a_host_without_room_is_told_with_figures(tmp_path: Path) -> None:
    path = add(tmp_path, 3 << 20)
    host = Here(answer=f"{path}\nfree {4 << 20} 1\n")

    with pytest.raises(CopyError) as refused:
        require_room(host, LUFTA, path, keep=2 << 20)

    message = str(refused.value)
    assert message.startswith("lufta: the store has no room: the system needs 3.0 MiB")
    assert "4.0 MiB are free, and 2.0 MiB of them are to stay so" in message
    room = require_room(host, LUFTA, path, keep=0)
    assert room == Room(need=room.need, free=4 << 20)


def test_what_needs_no_room_gets_it_on_a_full_disk_too(tmp_path: Path) -> None:
    path = add(tmp_path, 10)

    assert (
        require_room(Here(answer="free 0 4096\n"), LUFTA, path, keep=1 << 30).need == 0
    )


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (2048, "2 KiB"),
        (1 << 20, "1.0 MiB"),
        (1_300_000_000, "1.2 GiB"),
        (5 << 50, "5120.0 TiB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert told(size) == text
