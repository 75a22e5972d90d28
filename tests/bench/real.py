"""Twenty hosts of a whole NixOS, beside bare Nix with the same number at a time."""

import contextlib
import os
import re
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reconciler.app import open_world
from reconciler.revisions import Evaluations, Repository
from reconciler.settings import NixSettings, RepositorySettings, Settings
from tests.adapters.desired_nix import OFFLINE, host
from tests.bench.report import Row, Section, Target
from tests.support.repository import make_repository

VARIABLE = "RECONCILER_TEST_NIXPKGS"
HOSTS = 20
LIMIT = 1.1  # times what bare Nix takes
MEMORY = 4 << 30
STAT = "memory.stat"
PROCESSES = "cgroup.procs"
GROUPS = Path("/sys/fs/cgroup")
OLDER = GROUPS / "memory"  # where each controller has a tree of its own
NAME = f"reconciler-bench-{os.getpid()}"
ANONYMOUS = re.compile("anon |total_rss ")
LOOK_SECONDS = 0.1

CONFIGURATION = """\
{
  boot.loader.grub.device = "/dev/vda";
  fileSystems."/" = { device = "/dev/vda1"; fsType = "ext4"; };
  services.openssh.enable = true;
  networking.hostName = "NAME";
  system.stateVersion = "24.05";
  documentation.enable = false;
}
"""


def measure(folder: Path) -> Section | None:
    """Evaluate all hosts once each way; None where no whole nixpkgs is named."""
    nixpkgs = os.environ.get(VARIABLE)
    if not nixpkgs:
        return None
    jobs = os.cpu_count() or 1
    # What all hosts have in common is in the store before either begins.
    _bare(_written(folder / "first", ["first"]), nixpkgs, jobs)
    bare_hosts = _written(folder / "bare", [f"bare{n}" for n in range(HOSTS)])
    bare = _spent(lambda: _bare(bare_hosts, nixpkgs, jobs))
    ours = _spent(lambda: _ours(folder / "ours", nixpkgs, jobs))
    return _section(ours, bare)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What it took to evaluate all hosts."""

    clock: float  # seconds
    cpu: float  # seconds of processor time, of all processes
    peak: list[int]  # bytes that these had at most together; empty if unknown


def _spent(evaluate: Callable[[], float]) -> Spent:
    before = _processor_time()
    with _memory() as peak:
        clock = evaluate()
    return Spent(clock=clock, cpu=_processor_time() - before, peak=peak)


def _processor_time() -> float:
    """Return the seconds of this process, and of those that it started and ended."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(who) for who in whose]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _written(folder: Path, names: list[str]) -> Path:
    for name in names:
        host(folder, name, CONFIGURATION.replace("NAME", name))
    return folder


def _bare(folder: Path, nixpkgs: str, jobs: int) -> float:
    """Return the seconds that ``xargs -P`` takes."""
    options = [word for pair in OFFLINE.items() for word in ("--option", *pair)]
    argv = ["xargs", "-P", str(jobs), "-I", "FILE", "nix-instantiate", *options]
    argv += ["-I", f"nixpkgs={nixpkgs}", "<nixpkgs/nixos>", "-A", "system"]
    files = sorted(folder.glob("hosts/*/configuration.nix"))
    began = time.perf_counter()
    subprocess.run(
        [*argv, "--arg", "configuration", "FILE"],
        input="\n".join(map(str, files)).encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - began


def _ours(folder: Path, nixpkgs: str, jobs: int) -> float:
    """Return the seconds from a commit to what each host should be."""
    git = make_repository(folder / "git")
    _written(git.work, [f"ours{n}" for n in range(HOSTS)])
    git.commit_all()
    settings = Settings(
        repository=RepositorySettings(url=git.url),
        state=folder / "state",
        nix=NixSettings(
            path=(f"nixpkgs={nixpkgs}",), options=OFFLINE, memory=str(MEMORY)
        ),
    )
    with open_world(settings) as world:
        repository, evaluations = Repository(world), Evaluations(world)
        began = time.perf_counter()
        repository.look()
        revision = repository.current
        assert revision is not None
        assert len(revision.hosts) == HOSTS
        with ThreadPoolExecutor(jobs) as pool:
            list(
                pool.map(
                    lambda name: evaluations.desired(revision, name), revision.hosts
                )
            )
        return time.perf_counter() - began


@contextlib.contextmanager
def _memory() -> Iterator[list[int]]:
    """Give what the programs started here take at most together; empty if unknown."""
    peak: list[int] = []
    before = _own_group()
    if before is None:
        yield peak
        return
    group = (OLDER if before.is_relative_to(OLDER) else GROUPS) / NAME
    group.mkdir()
    (group / PROCESSES).write_text(str(os.getpid()))
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(group, over, peak))
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()
        (before / PROCESSES).write_text(str(os.getpid()))
        group.rmdir()


def _own_group() -> Path | None:
    """Return our control group; None where memory is not counted, or not by us."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    groups = dict(line.split(":", 2)[1:] for line in lines)
    if "memory" in groups and os.access(OLDER, os.W_OK):
        return OLDER / groups["memory"].lstrip("/")
    if "" not in groups or not os.access(GROUPS / "cgroup.subtree_control", os.W_OK):
        return None
    counted = (GROUPS / "cgroup.subtree_control").read_text().split()
    return GROUPS / groups[""].lstrip("/") if "memory" in counted else None


def _watch(group: Path, over: threading.Event, peak: list[int]) -> None:
    """Note the most that processes of *group* have, without what is cached of files."""
    while not over.wait(LOOK_SECONDS):
        lines = (group / STAT).read_text().splitlines()
        anonymous = int(next(filter(ANONYMOUS.match, lines)).split()[1])
        peak[:] = [max([anonymous, *peak])]


def _section(ours: Spent, bare: Spent) -> Section:
    told = [
        f"{whose} had {one.peak[0] >> 20} MiB at most, all together"
        for whose, one in (("ours", ours), ("bare Nix", bare))
        if one.peak
    ]
    budget = [
        Target(
            name="memory within the budget",
            value=float(size >> 20),
            limit=float(MEMORY >> 20),
            unit="MiB",
        )
        for size in ours.peak
    ]
    shares = [
        Target(
            name=f"{HOSTS} hosts, of what bare Nix takes{how}",
            value=our_seconds / their_seconds,
            limit=LIMIT,
            unit="",
        )
        for how, our_seconds, their_seconds in (
            ("", ours.clock, bare.clock),
            (" of processor time", ours.cpu, bare.cpu),
        )
    ]
    return Section(
        title=f"All of {HOSTS} hosts of a whole NixOS",
        unit="s",
        rows=(
            Row(name="from a commit to what each should be", values=(ours.clock,)),
            Row(name="processor time", values=(ours.cpu,), detail=True),
            Row(name="xargs -P and nix-instantiate", values=(bare.clock,)),
            Row(name="processor time", values=(bare.cpu,), detail=True),
        ),
        targets=(*shares, *budget),
        notes=(f"nix.memory is {MEMORY >> 20} MiB here", *told),
    )
