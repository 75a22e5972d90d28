"""The first thing that a newcomer runs: it must see all that it shows, and clean up."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Reaper, run_tool
from tests.support.wait import wait_until

FOLDERS = Path("/var/tmp")  # noqa: S108 # where the demo makes its own
DEMO = Path(__file__).parents[2] / "lab" / "demo"

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.skipif(os.geteuid() != 0, reason="real hosts need root"),
]


def test_the_demo_sees_everything_that_it_shows(reaper: Reaper) -> None:
    with started(reaper, ONCE="1") as (process, folder):
        shown, _ = process.communicate(timeout=240)

        assert process.returncode == 0, shown[-6000:]
        assert "All of it was seen." in shown
        assert not folder.exists()


def test_the_demo_leaves_nothing_when_its_terminal_is_closed(reaper: Reaper) -> None:
    with started(reaper) as (process, folder):
        settings = folder / "reconciler.yaml"  # written once the hosts are up
        wait_until(settings.exists, 120, "the hosts of the demo")

        assert process.stdout is not None
        process.stdout.close()
        process.send_signal(signal.SIGHUP)
        process.wait(60)

        assert not folder.exists()
        assert str(folder) not in Path("/proc/self/mountinfo").read_text()
        wait_until(
            lambda: not [pid for pid, words in commands() if str(folder) in words],
            30,
            "the last process of the demo to end",
        )


@contextlib.contextmanager
def started(
    reaper: Reaper, **variables: str
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start the demo; give it and its folder. Its hosts end with the tests."""
    before = set(FOLDERS.glob("reconciler-demo-*"))
    with subprocess.Popen(
        [str(DEMO)],
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        folder = wait_until(lambda: new_folder(before), 30, "the folder of the demo")
        reaper.watch(folder / "fleet")
        try:
            yield process, folder
        finally:
            clear_away(process, folder)
            reaper.forget(folder / "fleet")


def clear_away(process: subprocess.Popen[str], folder: Path) -> None:
    """End what a demo that does not work has left."""
    process.kill()
    for pid, words in commands():
        if str(folder) in words and "nspawn" not in words:
            os.kill(pid, signal.SIGTERM)
    if (folder / "fleet").exists():
        run_tool("down", "--dir", str(folder / "fleet"))
    shutil.rmtree(folder, ignore_errors=True)


def new_folder(before: set[Path]) -> Path | None:
    """Return what is there now and was not *before*."""
    return next(iter(set(FOLDERS.glob("reconciler-demo-*")) - before), None)


def commands() -> Iterator[tuple[int, str]]:
    """Yield each process and its command line."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield int(file.parent.name), file.read_text(errors="replace")
