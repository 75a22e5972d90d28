"""What a fleet leaves on the machine, to see that `down` leaves nothing."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.fleet import Fleet
from tests.support.processes import started_at
from tests.support.wait import wait_until

CGROUPS = Path("/sys/fs/cgroup")
REGISTRY = Path("/run/reconciler-fleet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """Where a fleet shows on the machine; other fleets may come and go meanwhile."""

    folder: Path
    block: str
    processes: frozenset[tuple[int, str]]  # pid and start time: pids come again

    @classmethod
    def of(cls, fleet: Fleet) -> "Traces":
        """Note the traces of *fleet*, which may be half-started."""
        files = (REGISTRY / "blocks").glob("*")
        owned = [file.name for file in files if str(fleet.path) in _read(file)]
        assert len(owned) == 1
        pids = {
            int(pid)
            for procs in CGROUPS.glob(
                f"**/reconciler-fleet-{owned[0]}-*/**/cgroup.procs"
            )
            for pid in _read(procs).split()
        }
        processes = {(pid, started) for pid in pids if (started := started_at(pid))}
        return cls(folder=fleet.path, block=owned[0], processes=frozenset(processes))

    def leftovers(self) -> list[str]:
        """Return what is still there of it."""
        left = [*self._processes(), *self._mounts()]
        # Another fleet may have been given the block by now.
        if str(self.folder) in _read(REGISTRY / "blocks" / self.block):
            left.append("the address block")
        elif (REGISTRY / "blocks" / self.block).exists():
            return left
        return [*left, *self._groups(), *self._files()]

    def wait_until_gone(self) -> None:
        """Wait for the kernel to let go of what dead processes held."""
        left = self.leftovers
        wait_until(lambda: not left(), 10, f"an end of {left()}")

    def supervisor(self) -> int:
        """Return the process that supervises the fleet's first host."""
        pattern = f"**/reconciler-fleet-{self.block}-*/supervisor/cgroup.procs"
        return int(next(CGROUPS.glob(pattern)).read_text().split()[0])

    def _processes(self) -> Iterator[str]:
        for pid, started in self.processes:
            if started_at(pid) == started:
                yield f"process {pid}"

    def _groups(self) -> Iterator[str]:
        yield from map(str, CGROUPS.glob(f"*/reconciler-fleet-{self.block}-*"))
        yield from map(str, CGROUPS.glob(f"reconciler-fleet-{self.block}-*"))

    def _mounts(self) -> Iterator[str]:
        # Whatever mount namespace they are in.
        for mounts in Path("/proc").glob("[0-9]*/mountinfo"):
            if str(self.folder) in _read(mounts):
                yield f"mounts in {mounts}"
        loops = subprocess.run(["losetup", "--all"], capture_output=True, check=True)
        if str(self.folder).encode() in loops.stdout:
            yield "a loop device"

    def _files(self) -> Iterator[str]:
        machine = f"fleet-{self.block.replace('.', '-')}-*"
        yield from map(str, Path("/run/systemd/nspawn").glob(f"*/{machine}"))


def _read(file: Path) -> str:
    """Return the text of a file that may vanish at any moment."""
    try:
        return file.read_text()
    except OSError:
        return ""
