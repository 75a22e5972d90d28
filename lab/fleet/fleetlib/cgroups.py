"""
The control groups of one host: how its processes are found, frozen and ended.

Every process of a host is in its groups from before the host starts until after its
end, so there is no pid file that could name a stranger. Layouts: cgroups(7), the
freezer and ``cgroup.kill`` of the kernel's cgroup-v2 documentation.

    reconciler-fleet-80.3-chrysalis/supervisor   the supervisor
    reconciler-fleet-80.3-chrysalis/host         systemd-nspawn and all below it
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fleetlib.errors import FleetError

PREFIX = "reconciler-fleet-"
NAMED = re.compile(rf"{PREFIX}(?P<block>\d+\.\d+)-(?P<host>.+)")
PATIENCE = 10.0
PAUSE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchies:
    """Where this machine's control groups are mounted."""

    unified: Path | None  # cgroup v2: alone, or beside v1 (the hybrid layout)
    systemd: Path | None  # v1 name=systemd, which nspawn of a hybrid machine wants
    freezer: Path | None  # v1, used only where there is no v2

    @property
    def all(self) -> tuple[Path, ...]:
        """Every hierarchy that a host needs a group in."""
        freezer = None if self.unified else self.freezer
        roots = (self.unified, self.systemd, freezer)
        return tuple(root for root in roots if root is not None)


@cache
def hierarchies() -> Hierarchies:
    """Return where control groups are mounted; raises `FleetError` if nowhere."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place, _, kind = line.partition(" - ")
        filesystem, _, options = kind.split(" ", 2)
        if filesystem == "cgroup2":
            found.setdefault("unified", Path(place.split()[4]))
        elif filesystem == "cgroup":
            for option in options.split(" ")[-1].split(","):
                found.setdefault(option, Path(place.split()[4]))
    known = Hierarchies(
        unified=found.get("unified"),
        systemd=found.get("name=systemd"),
        freezer=found.get("freezer"),
    )
    if not known.all:
        msg = (
            "no control groups are mounted: run `mount -t cgroup2 none /sys/fs/cgroup`"
        )
        raise FleetError(msg)
    return known


@dataclass(frozen=True, slots=True, kw_only=True)
class HostGroups:
    """The groups of the host *name* of the fleet with the address block *block*."""

    block: str
    name: str

    def folders(self, part: str = "") -> tuple[Path, ...]:
        """Return the group *part* in every hierarchy."""
        group = f"{PREFIX}{self.block}-{self.name}"
        return tuple(root / group / part for root in hierarchies().all)

    def create(self) -> None:
        """Make the groups; they may be there already."""
        for part in ("supervisor", "host"):
            for folder in self.folders(part):
                _make(folder)

    def pids(self) -> set[int]:
        """Return the processes in the groups, the supervisor's among them."""
        return {pid for folder in self.folders() for pid in _pids_below(folder)}

    def leader(self) -> int | None:
        """Return the process that the host itself knows as its PID 1."""
        for pid in sorted(self.pids()):
            if _pid_inside(pid) == 1:
                return pid
        return None

    @property
    def frozen(self) -> bool:
        """Whether every process of the host is stopped by `freeze`."""
        with suppress(FileNotFoundError):
            if hierarchies().unified is None:
                state = self.folders("host")[-1] / "freezer.state"
                return state.read_text().strip() == "FROZEN"
            events = self.folders("host")[0] / "cgroup.events"
            return "frozen 1" in events.read_text()
        return False

    def freeze(self, *, wanted: bool) -> None:
        """Stop every process of the host, or let them run on; wait until it is so."""
        try:
            if hierarchies().unified is None:
                state = self.folders("host")[-1] / "freezer.state"
                state.write_text("FROZEN" if wanted else "THAWED")
            else:
                (self.folders("host")[0] / "cgroup.freeze").write_text(f"{wanted:d}")
        except FileNotFoundError as error:
            msg = f"{self.name} is off: start it first"
            raise FleetError(msg) from error
        if not _wait(lambda: self.frozen is wanted):
            verb = "frozen" if wanted else "thawed"
            msg = f"{self.name} was not {verb} within {PATIENCE:.0f} s"
            raise FleetError(msg)

    def kill(self) -> None:
        """Send SIGKILL to every process in the groups; does not wait."""
        unified = hierarchies().unified
        if unified is not None:
            with suppress(FileNotFoundError):
                (self.folders()[0] / "cgroup.kill").write_text("1")
        # What a kernel before 5.14 needs, and processes that were just being
        # moved into the groups.
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Under v1 a frozen process dies only when it is thawed.
        if unified is None and self.frozen:
            (self.folders("host")[-1] / "freezer.state").write_text("THAWED")

    def remove(self) -> None:
        """Wait until nothing lives in the groups, then remove them."""

        def gone() -> bool:
            if self.pids():
                self.kill()
            return all(_remove_tree(folder) for folder in self.folders())

        if not _wait(gone):
            pids = ", ".join(map(str, sorted(self.pids())))
            msg = f"{self.name}: processes {pids} did not end; they may hang in a mount"
            raise FleetError(msg)


def groups_of_block(block: str) -> list[HostGroups]:
    """Return the hosts of the fleet with *block* that have groups, by name."""
    return [groups for groups in all_groups() if groups.block == block]


def all_groups() -> list[HostGroups]:
    """Return every host of every fleet of this machine that has groups."""
    matches = {
        (match["block"], match["host"])
        for root in hierarchies().all
        for folder in root.glob(f"{PREFIX}*")
        if (match := NAMED.fullmatch(folder.name))
    }
    return [HostGroups(block=block, name=name) for block, name in sorted(matches)]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"cannot make the control group {folder}: {error.strerror}"
        raise FleetError(msg) from error


def _pids_below(folder: Path) -> Iterator[int]:
    for path, _, _ in os.walk(folder):
        # A group may vanish while we walk.
        with suppress(OSError):
            yield from map(int, Path(path, "cgroup.procs").read_text().split())


def _pid_inside(pid: int) -> int | None:
    """
    Return the number of *pid* in the host's pid namespace, None if it has ended.

    A host may have namespaces in its own, each with a PID 1.
    """
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[1:][:2][-1])
    return None


def _remove_tree(folder: Path) -> bool:
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(path).rmdir()
    return not folder.exists()


def _wait(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE)
    return True
