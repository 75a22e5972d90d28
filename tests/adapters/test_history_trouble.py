"""
A state directory that cannot be used: what is said, and that nothing is lost.

Full and read-only file systems are real ones, in a mount namespace of a child process
that ends with it.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from reconciler.errors import StateError
from reconciler.history import History
from reconciler.model import CommitId, HostName, HostStatus
from tests.support.wait import patience

DEADLINE = 60.0  # seconds
PROLOGUE = """
import sys
from pathlib import Path
from reconciler.errors import StateError
from reconciler.history import History
from reconciler.model import CommitId, HostName, HostStatus, StorePath, Verdict

file = Path(sys.argv[1]) / "history.sqlite"

def refused(call):
    try:
        call()
    except StateError as error:
        print(error)
    else:
        sys.exit("was not refused")

def begin(history):
    return history.begin(
        host=HostName("keanu"), commit=CommitId("c0ffee"), verdict=Verdict.DEPLOY,
        source=None, target=StorePath("/nix/store/new-system"), now=0.0,
    )
"""


def in_namespace(tmp_path: Path, setup: str, script: str) -> str:
    """Run Python on a mount that *setup* makes at ``$1``; return what it printed."""
    program = PROLOGUE + textwrap.dedent(script)
    command = f'{setup} && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        [
            *("unshare", "--map-root-user", "--mount", "sh", "-c", command, "sh"),
            *(str(tmp_path), sys.executable, program),
        ],
        capture_output=True,
        text=True,
        timeout=patience(DEADLINE),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


SMALL = 'mount -t tmpfs -o size=600k tmpfs "$1"'
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """Leave a state directory with something in it."""
    history = History.open(tmp_path / "history.sqlite")
    history.save_evaluation("key", "text", now=0)
    history.close()
    return tmp_path


def test_a_full_disk_is_named_and_what_was_kept_stays(tmp_path: Path) -> None:
    told = in_namespace(
        tmp_path,
        SMALL,
        """
        history = History.open(file)
        attempt = begin(history)
        full = file.with_name("full")
        try:
            full.write_bytes(bytes(1_000_000))
        except OSError:
            pass
        def fill():
            for number in range(1000):
                history.log(attempt.id, [f"{number:04}" + "x" * 1000], now=0.0)
        refused(fill)
        refused(lambda: begin(history))
        kept = history.attempt_log(attempt.id)
        assert [line[:4] for line in kept] == [f"{n:04}" for n in range(len(kept))]
        assert history.unfinished() == [attempt]

        # Space comes back: it goes on where it was.
        full.unlink()
        history.log(attempt.id, ["goes on"], now=0.0)
        assert history.attempt_log(attempt.id) == [*kept, "goes on"]
        history.close()
        """,
    )

    for line in told.splitlines():
        assert f"{tmp_path}/history.sqlite: the disk is full: free some space" in line
    assert len(told.splitlines()) == 2


def test_a_full_disk_at_the_first_start_leaves_no_half_made_database(
    tmp_path: Path,
) -> None:
    told = in_namespace(
        tmp_path,
        SMALL,
        """
        full = file.with_name("full")
        try:
            full.write_bytes(bytes(1_000_000))
        except OSError:
            pass
        refused(lambda: History.open(file))
        full.unlink()
        History.open(file).close()
        """,
    )

    assert f"{tmp_path}/history.sqlite" in told
    assert "disk is full" in told


def test_a_read_only_file_system_is_named(used: Path) -> None:
    told = in_namespace(
        used,
        READ_ONLY,
        """
        history = None
        def write():
            global history
            history = History.open(file)
            history.save_evaluation("key", "other", now=0.0)
        refused(write)
        def lock():
            with History.open(file, read_only=True).lock(HostName("keanu")):
                pass
        refused(lock)
        """,
    )

    database, lock = told.splitlines()
    assert f"{used}/history.sqlite: it cannot be" in database
    assert "owner, mode and mount" in database or "owner and mode" in database
    assert f"cannot open {used}/locks/keanu.lock: " in lock


def test_a_read_only_file_system_can_be_read(used: Path) -> None:
    told = in_namespace(
        used,
        READ_ONLY,
        """
        history = History.open(file, read_only=True)
        print(history.evaluation("key"))
        history.close()
        """,
    )

    assert told == "text\n"


def test_reading_sees_what_a_daemon_has_not_folded_in_yet(used: Path) -> None:
    daemon = History.open(used / "history.sqlite")
    daemon.save_evaluation("key", "newer", now=1)

    reader = History.open(used / "history.sqlite", read_only=True)

    assert reader.evaluation("key") == "newer"
    reader.close()
    daemon.close()


def test_a_reader_cannot_write(used: Path) -> None:
    reader = History.open(used / "history.sqlite", read_only=True)

    with pytest.raises(StateError, match=r"history\.sqlite: it cannot be written"):
        reader.save_evaluation("key", "other", now=0)

    assert reader.evaluation("key") == "text"
    reader.close()


def test_reading_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"history\.sqlite: it cannot be opened"):
        History.open(tmp_path / "history.sqlite", read_only=True)

    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"nowhere.*check that the directory exists"):
        History.open(tmp_path / "nowhere" / "history.sqlite")


def test_a_directory_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").mkdir()

    with pytest.raises(StateError, match=r"history\.sqlite: it cannot be opened"):
        History.open(tmp_path / "history.sqlite")


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    file.write_text("dear diary, " * 1000)
    before = file.read_bytes()

    with pytest.raises(StateError, match=r"not a database, or damaged.*move it away"):
        History.open(file)

    assert file.read_bytes() == before


def test_damage_in_the_middle_is_told_with_what_to_do(used: Path) -> None:
    file = used / "history.sqlite"
    pages = file.read_bytes()
    file.write_bytes(pages[:4096] + b"\xff" * (len(pages) - 4096))

    with pytest.raises(StateError, match=r"history\.sqlite: it is damaged.*recover"):
        read_everything(file)

    assert len(file.read_bytes()) == len(pages)


def read_everything(file: Path) -> None:
    history = History.open(file)
    try:
        history.statuses()
        history.save_status(
            HostStatus(host=HostName("keanu"), commit=CommitId("c"), updated_at=0)
        )
    finally:
        history.close()
