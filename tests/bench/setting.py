"""The fleet, the repository and the daemon that are measured."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from typing_extensions import override

from tests.bench.trace import Event, LogFile
from tests.support.fleet import Fleet, Reaper, fleets
from tests.support.rig import Rig

HOSTS = ("chrysalis", "keanu", "lufta")
HOST = "lufta"  # the one whose service changes
SERVICE = "withinbot.service"
FILE = "hosts/lufta/configuration.nix"
GREETING = "far away from every printer."
DEADLINE = 90.0  # seconds for anything that the daemon does


class TracedRig(Rig):
    """A rig whose daemon logs each command with its time."""

    @override
    def argv(self, *words: str) -> list[str]:
        """Return the argv of a reconciler command that logs all it can."""
        return super().argv("--verbose", "--log-format", "json", *words)


@contextlib.contextmanager
def fleet_in(folder: Path) -> Iterator[Fleet]:
    """Run three hosts, which end with the body or with this process."""
    reaper = Reaper()
    try:
        with fleets(folder / "fleets", reaper) as start:
            yield start(*HOSTS)
    finally:
        reaper.close()


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder that is removed at the end."""
    # Not in /tmp, which may be memory: the database is to be on a disk.
    folder = Path(tempfile.mkdtemp(prefix="reconciler-bench-", dir="/var/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def deploy_all(rig: Rig, log: LogFile) -> None:
    """Push what the clone holds, and wait until every host has been brought to it."""
    waiting = set(HOSTS)
    rig.push("The services of three hosts")

    def was_last(event: Event) -> bool:
        if event["event"] == "attempt ended":
            waiting.discard(event["host"])
        return not waiting

    log.wait_for(was_last, deadline=DEADLINE)
