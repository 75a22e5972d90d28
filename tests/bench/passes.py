"""A look at 50 hosts, nothing to do, over 50 connections to one sshd."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from reconciler.app import open_world
from reconciler.cli.screen.log_format import LogFormat, configure
from reconciler.loop import Done, Gate, HostPass
from reconciler.loop.queue import Backoff
from reconciler.model import HostName, Policy
from reconciler.observed import probe
from reconciler.observed.probe import script
from reconciler.revisions import Evaluations, Revision
from reconciler.revisions import Repository as Watched
from reconciler.settings import load
from reconciler.world import World
from tests.bench.names import allow_connections, declare, names, settle_names
from tests.bench.peers import Peers
from tests.bench.report import Row, Section, Target
from tests.bench.setting import HOST
from tests.support.fleet import Fleet
from tests.support.rig import Rig

NAMES = names(50)
AT_ONCE = 16
FACTOR = 1.3  # of what OpenSSH takes
DEADLINE = 30.0  # seconds for a command on a host
PLACE = "/run/reconciler-bench.sh"  # the probe's script, on the host
COMMAND = f"timeout -k 1 {DEADLINE:.3f} sh {PLACE}"


def measure(folder: Path, fleet: Fleet, rounds: int, *, peers: bool) -> Section:
    """Measure the reconciler, OpenSSH and, if wanted, the *peers*, in turn."""
    with Rig(folder, fleet) as rig:
        settle_names(rig, NAMES)
        allow_connections(rig.repository)
        declare(rig.repository, NAMES)
        rig.push("One host under many names")
        rig.run("apply", HOST)  # now nothing is left to do
        with looked_at(rig) as (ours, script_text):
            rig.host(HOST).exec("tee", PLACE, stdin=script_text)
            others = Peers(folder, rig, NAMES, command=COMMAND, at_once=AT_ONCE)
            ways = ours | others.openssh() | (others.installed() if peers else {})
            taken: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(rounds):
                for name, way in ways.items():
                    taken[name].append(way())
    return section({name: tuple(values) for name, values in taken.items()})


def section(taken: dict[str, tuple[float, ...]]) -> Section:
    """Sum up."""
    rows = {name: Row(name=name, values=values) for name, values in taken.items()}
    targets = [
        _against(rows[f"reconciler: whole pass, {state}"], rows[f"OpenSSH, {state}"])
        for state in ("cold", "warm")
    ]
    for name in ("pyinfra exec, cold", "ansible -m raw, cold", "ansible -m raw, warm"):
        if name in rows:
            state = name.rpartition(" ")[2]
            ours = rows[f"reconciler: whole pass, {state}"]
            targets.append(_against(ours, rows[name], factor=1.0))
    return Section(
        title=f"A look at {len(NAMES)} hosts, nothing to do, {AT_ONCE} at a time",
        unit="s",
        rows=tuple(rows.values()),
        targets=tuple(targets),
        notes=(
            "cold: connections are opened first; warm: they are there already",
            "a whole pass: evaluation from the cache, probe, plan, status, metrics",
        ),
    )


def _against(ours: Row, theirs: Row, *, factor: float = FACTOR) -> Target:
    return Target(
        name=f"{ours.name}, against {theirs.name}",
        value=ours.median / theirs.median,
        limit=factor,
        unit="times",
    )


# --- the reconciler --------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """The parts of the daemon that look at hosts."""

    world: World
    revision: Revision
    evaluations: Evaluations
    passes: HostPass
    pool: ThreadPoolExecutor

    def whole(self) -> None:
        """Run one pass for each host; raises if one did not end well."""
        results = list(self.pool.map(self.passes.run, NAMES))
        if wrong := [result for result in results if result != Done()]:
            message = f"there was something to be done: {wrong[0]}"
            raise RuntimeError(message)

    def probes(self) -> None:
        """Probe each host."""
        list(self.pool.map(self.probe, NAMES))

    def probe(self, host: HostName) -> None:
        """Probe one host."""
        desired = self.evaluations.desired(self.revision, host)
        reader = self.world.connections.reader(host, desired.target)
        probe(reader, desired.units, now=self.world.now(), deadline=DEADLINE)


@contextmanager
def looked_at(rig: Rig) -> Iterator[tuple[dict[str, Callable[[], float]], str]]:
    """Yield the ways in which the reconciler looks, and the script of its probe."""
    configure(LogFormat.JSON, quiet=True, verbose=False)
    with (
        open_world(load(rig.settings), policy=Policy(heal=False)) as world,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        watched, evaluations = Watched(world), Evaluations(world)
        watched.look()
        revision = watched.current
        assert revision is not None
        gate = Gate(Backoff())
        ours = Ours(
            world=world,
            revision=revision,
            evaluations=evaluations,
            passes=HostPass(world, watched, evaluations, gate),
            pool=pool,
        )
        ours.whole()  # evaluates
        yield ways_of(ours), text_of(ours)


def text_of(ours: Ours) -> str:
    """Return the script that a probe runs."""
    desired = ours.evaluations.desired(ours.revision, NAMES[0])
    return script(desired.units, deadline=DEADLINE)


def ways_of(ours: Ours) -> dict[str, Callable[[], float]]:
    """Return what to measure; each returns seconds."""
    return {
        f"reconciler: {what}, {state}": _timed(look, before)
        for what, look in (("whole pass", ours.whole), ("probe alone", ours.probes))
        for state, before in (
            ("cold", ours.world.connections.close),
            ("warm", _nothing),
        )
    }


def _timed(act: Callable[[], None], before: Callable[[], None]) -> Callable[[], float]:
    def timed() -> float:
        before()
        began = time.monotonic()
        act()
        return time.monotonic() - began

    return timed


def _nothing() -> None:
    pass
