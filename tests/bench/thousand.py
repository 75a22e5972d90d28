"""The daemon at rest with many hosts that ring: what each of them costs it."""

import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.memory import Memory
from tests.bench.names import (
    HOST_BELL,
    allow_connections,
    change_all,
    declare,
    names,
    settle_names,
)
from tests.bench.report import Row, Section, Target
from tests.bench.setting import HOSTS, deploy_all
from tests.bench.trace import LogFile
from tests.support.fleet import Fleet
from tests.support.rig import Rig
from tests.support.wait import wait_until

EACH = 10.0  # seconds that a host may take until it is in sync and rings
REST = 75.0  # seconds that it is watched at rest: once, it gives memory back
MEMORY_LIMIT = 300.0  # MiB with a thousand hosts
CORE_LIMIT = 5.0  # per cent
SCRAPE_LIMIT = 0.1  # seconds
THOUSAND = 1000
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """What the daemon takes while nothing happens."""

    memory: Memory
    threads: int
    descriptors: int
    core: float  # per cent of one
    written: float  # kB a minute
    switches: float  # of threads, a second
    looks: float  # regular ones
    database: float  # MB


def measure(folder: Path, fleet: Fleet, count: int) -> Section:
    """Bring *count* names of one host to rest, with bells, and watch the daemon."""
    more = names(count)
    _allow_files(2 * count + 256)
    with Rig(folder, fleet, policy={"interval": "5m"}) as rig:
        settle_names(rig, more)
        rig.host(HOSTS[-1]).exec("tee", HOST_BELL, stdin="yes\n")
        allow_connections(rig.repository)
        change_all(rig.repository, folder.parent.name)
        rig.run_daemon()
        deploy_all(rig, LogFile(rig.log))
        few = _rest(rig)
        declare(rig.repository, more)
        began = _cpu(_pid(rig)), time.monotonic()
        rig.push("One host under many names")
        with rig.told():
            wait_until(
                lambda: _ringing(rig) == len(HOSTS) + count,
                60 + EACH * count,
                f"{count} hosts to ring",
            )
        there = _cpu(_pid(rig)) - began[0], time.monotonic() - began[1]
        rest = _rest(rig)
        scrape = _scraped(rig)
        status = _status_took(rig)
    return _section(count, few, rest, there=there, scrape=scrape, status=status)


def _section(
    count: int,
    few: Rest,
    rest: Rest,
    *,
    there: tuple[float, float],
    scrape: tuple[float, int],
    status: float,
) -> Section:
    each = (rest.memory.rss - few.memory.rss) / count
    each_core = (rest.core - few.core) / count
    figures = {
        f"RSS with {len(HOSTS)} hosts, MiB": few.memory.rss,
        f"RSS with {count} more that ring, MiB": rest.memory.rss,
        "PSS, MiB": rest.memory.pss,
        "RSS for each further host, MiB": each,
        "threads": rest.threads,
        "descriptors": rest.descriptors,
        f"per cent of a core at rest, {len(HOSTS)} hosts": few.core,
        "per cent of a core at rest": rest.core,
        f"regular looks in these {REST:g} s": rest.looks,
        "switches of threads a second": rest.switches,
        "kB written a minute": rest.written,
        "MB of database": rest.database,
        "until all ring, s": there[1],
        "until all ring, s of processor for each": there[0] / count,
        "a scrape, s of processor": scrape[0],
        "a scrape, kB": scrape[1] / 1000,
        "status --json, s of processor": status,
    }
    return Section(
        title=f"At rest with {count} hosts that ring",
        unit="",
        rows=tuple(Row(name=name, values=(value,)) for name, value in figures.items()),
        targets=(
            Target(
                name="a thousand hosts, by this",
                value=few.memory.rss + THOUSAND * each,
                limit=MEMORY_LIMIT,
                unit="MiB",
            ),
            Target(
                name="at rest with a thousand, by this",
                value=few.core + THOUSAND * each_core,
                limit=CORE_LIMIT,
                unit="% of a core",
            ),
        ),
        notes=("one sshd and one systemd; each name has a bell that only beats",),
    )


def _rest(rig: Rig) -> Rest:
    """Watch the daemon for a while."""
    pid = _pid(rig)
    looked, before, began = _looks(rig), _seen(pid), time.monotonic()
    # Nothing is waited for but time: that nothing happens is what is looked at.
    wait_until(lambda: time.monotonic() - began > REST, 2 * REST, "time to pass")
    after, took = _seen(pid), time.monotonic() - began
    rates = {name: (after[name] - before[name]) / took for name in before}
    database = rig.state / "history.sqlite"
    return Rest(
        memory=Memory.of(pid),
        threads=len(list(Path(f"/proc/{pid}/task").iterdir())),
        descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        core=100 * rates["cpu"],
        written=60 * rates["written"] / 1000,
        switches=rates["switches"],
        looks=_looks(rig) - looked,
        database=database.stat().st_size / 1e6,
    )


def _seen(pid: int) -> dict[str, float]:
    io = dict(
        line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines()
    )
    switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        text = (task / "status").read_text()
        lines = [line for line in text.splitlines() if "_ctxt_switches" in line]
        switches += sum(int(line.split()[1]) for line in lines)
    return {
        "cpu": _cpu(pid),
        "written": float(io["write_bytes"]),
        "switches": float(switches),
    }


def _cpu(pid: int) -> float:
    """Return the seconds of processor time that a process took."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _scraped(rig: Rig) -> tuple[float, int]:
    """Return what a scrape takes of the daemon's processor time, and its size."""
    pid, times, size = _pid(rig), 10, 0
    before = _cpu(pid)
    for _ in range(times):
        size = len(rig.get("/metrics")[1])
    return (_cpu(pid) - before) / times, size


def _status_took(rig: Rig) -> float:
    """Return the processor time of the command that shows all hosts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    argv = rig.argv("status", "--json")
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=120)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _looks(rig: Rig) -> float:
    page = rig.get("/metrics")[1].splitlines()
    passes = (one for one in page if one.startswith("reconciler_passes_total{"))
    return sum(float(one.rpartition(" ")[2]) for one in passes)


def _ringing(rig: Rig) -> int:
    page = rig.get("/metrics")[1].splitlines()
    return sum(
        line.startswith("reconciler_host_bell{") and 'state="rings"} 1' in line
        for line in page
    )


def _pid(rig: Rig) -> int:
    assert rig.daemon is not None
    return rig.daemon.pid


def _allow_files(count: int) -> None:
    """Let the daemon, which inherits it, have so many files and connections open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))
