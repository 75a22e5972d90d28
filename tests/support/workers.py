"""
Workers as programs, over one PostgreSQL and the hosts of a rig.

    with Workers(rig, cluster.new()) as workers:
        one, two = workers.start("one"), workers.start("two")
        workers.wait_shared()
"""

import contextlib
import signal
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reconciler.history import History
from reconciler.loop.placement import placed
from reconciler.model import HostName, Worker
from reconciler.plan import status_as_dict
from tests.support import warm
from tests.support.rig import DEADLINE, Rig, free_port
from tests.support.wait import patience, wait_until


@dataclass(slots=True, kw_only=True)
class Program:
    """One worker: settings, state and log of its own."""

    name: str
    settings: Path
    state: Path
    log: Path
    port: int
    process: warm.Running

    @property
    def said(self) -> str:
        """What it logged."""
        return self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal and wait for its end; return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=patience(60))


@dataclass(slots=True)
class Workers:
    """Those of one database; a context manager that ends them."""

    rig: Rig
    url: str
    programs: list[Program] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in self.programs:
            one.send(signal.SIGCONT)
            one.end(signal.SIGKILL)

    def start(self, name: str) -> Program:
        """Start a worker; returns when it has said that it lives."""
        rig, port = self.rig, free_port()
        folder = rig.folder / name
        folder.mkdir(exist_ok=True)
        state = {"path": str(folder / "state"), "database": self.url}
        rig.write_settings(state=state, http={"listen": f"127.0.0.1:{port}"})
        settings = folder / "reconciler.yaml"
        settings.write_text(rig.settings.read_text())
        log = folder / "worker.log"
        argv = rig.argv("worker")
        argv[argv.index(str(rig.settings))] = str(settings)
        with log.open("ab") as file:
            process = warm.start(argv, (file, file), session=True)
        one = Program(
            name=name,
            settings=settings,
            state=folder / "state",
            log=log,
            port=port,
            process=process,
        )
        self.programs.append(one)

        def lives() -> bool:
            assert process.poll() is None, one.said[-4000:]
            return self.of(one) is not None

        wait_until(lives, DEADLINE, f"worker {name} to be there: {log}")
        return one

    def all(self) -> list[Worker]:
        """Return the workers as the database has them; none before the first one."""
        with contextlib.closing(self.history()) as history:
            return history.workers.all()

    def history(self) -> History:
        """Open history."""
        return History.open(self.url, locks=self.rig.folder / "locks")

    def of(self, one: Program) -> Worker | None:
        """Return a worker as the database has it."""
        found = [each for each in self.all() if each.process == one.process.pid]
        return found[-1] if found else None

    def hosts(self, one: Program) -> frozenset[str]:
        """Return the hosts that a worker has taken."""
        found = self.of(one)
        return frozenset(found.hosts) if found else frozenset()

    def divide(self, *names: str) -> tuple[Program, Program]:
        """
        Start two workers, so that each has some of the hosts *names*.

        Who gets which, chance says: the second one is started anew until it is so.
        """
        first = self.start("first")
        hosts = [HostName(name) for name in names]
        for number in range(20):
            second = self.start(f"second-{number}")
            ids = [one.id for one in self.all() if one.live]
            me = self.of(second)
            assert me is not None
            if 0 < len(placed(hosts, ids, me.id)) < len(hosts):
                return first, second
            second.end()
            self.programs.remove(second)
        raise AssertionError(names)

    def status(self) -> dict[str, Any]:
        """Return what is known of each host."""
        with contextlib.closing(self.history()) as history:
            return {one.host: status_as_dict(one) for one in history.statuses()}

    def wait_in_sync(self, *names: str) -> None:
        """Wait until the hosts are in sync with the commit that was pushed last."""
        head = self.rig.repository.head

        def in_sync() -> bool:
            for one in self.programs:
                assert one.process.poll() is None, one.said[-4000:]
            found = self.status()
            return all(
                name in found
                and found[name]["in_sync"]
                and found[name]["commit"] == head
                for name in names
            )

        wait_until(in_sync, DEADLINE, f"{names} to be in sync with {head}")
