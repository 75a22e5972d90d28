"""The daemon's memory at rest: with three hosts, and with many more."""

from dataclasses import dataclass
from pathlib import Path

from tests.bench.names import (
    allow_connections,
    change_all,
    declare,
    names,
    settle_names,
)
from tests.bench.report import Row, Section, Target
from tests.bench.setting import DEADLINE, HOSTS, deploy_all
from tests.bench.trace import LogFile
from tests.support.fleet import Fleet
from tests.support.rig import Rig
from tests.support.wait import wait_until

MORE = names(40)
WHOLE_LIMIT = 100.0  # MiB
HOST_LIMIT = 0.5
LOOKS = 5  # at each host, before the daemon counts as being at rest
KIB = 1 / 1024  # MiB, the M of ps, top and systemctl


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What one process takes; MiB."""

    rss: float  # all of it, libraries that others use as well in full
    pss: float  # those by halves, thirds, …

    @classmethod
    def of(cls, pid: int) -> "Memory":
        """Read that of a process; see proc_pid_smaps(5)."""
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        sizes = {
            words[0].rstrip(":"): int(words[1]) * KIB
            for words in map(str.split, text.splitlines()[1:])
        }
        return cls(rss=sizes["Rss"], pss=sizes["Pss"])


def measure(folder: Path, fleet: Fleet) -> Section:
    """Deploy to three hosts and measure at rest; add hosts and measure again."""
    # Without bells: on one machine each would hear what the looks at all others do.
    with Rig(folder, fleet, policy={"interval": "1s", "bell": "off"}) as rig:
        settle_names(rig, MORE)
        allow_connections(rig.repository)
        change_all(rig.repository, folder.parent.name)
        rig.run_daemon()
        deploy_all(rig, LogFile(rig.log))
        few = at_rest(rig, len(HOSTS))
        declare(rig.repository, MORE)
        rig.push("One host under many names")
        many = at_rest(rig, len(HOSTS) + len(MORE))
    return section(few, many)


def section(few: Memory, many: Memory) -> Section:
    """Sum up."""
    each = (many.rss - few.rss) / len(MORE)
    count = len(HOSTS) + len(MORE)
    rows = {
        f"RSS with {len(HOSTS)} hosts": few.rss,
        f"PSS with {len(HOSTS)} hosts": few.pss,
        f"RSS with {count} hosts": many.rss,
        f"PSS with {count} hosts": many.pss,
        "RSS for each further host": each,
    }
    return Section(
        title="The daemon's memory at rest",
        unit="MiB",
        rows=tuple(Row(name=name, values=(value,)) for name, value in rows.items()),
        targets=(
            Target(name="three hosts", value=few.rss, limit=WHOLE_LIMIT, unit="MiB"),
            Target(name="each further host", value=each, limit=HOST_LIMIT, unit="MiB"),
        ),
        notes=(f"after a deployment and {LOOKS} looks at each host",),
    )


def at_rest(rig: Rig, hosts: int) -> Memory:
    """Return what the daemon takes once it has nothing to do but to look."""

    def looks() -> float:
        in_sync, passes = "reconciler_host_in_sync{", "reconciler_passes_total{"
        page = rig.get("/metrics")[1].splitlines()
        values = [line.rpartition(" ") for line in page]
        good = [v for n, _, v in values if n.startswith(in_sync) and float(v)]
        done = sum(float(v) for n, _, v in values if n.startswith(passes))
        return done if len(good) == hosts else 0.0

    with rig.told():
        first = wait_until(looks, DEADLINE, f"{hosts} hosts to be in sync")
    wait_until(
        lambda: looks() > first + LOOKS * hosts,
        DEADLINE,
        f"{LOOKS} looks at each of {hosts} hosts",
    )
    assert rig.daemon is not None
    return Memory.of(rig.daemon.pid)
