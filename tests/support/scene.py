"""
Everything around a pass, made of stand-ins; history, metrics and the loop are real.

    def test_...(scene: Scene) -> None:
        scene.push({"lufta": {BOT: "1"}})
        scene.look()
        assert scene.run("lufta") == Done()
"""

import contextlib
import sqlite3
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from reconciler.history import History
from reconciler.loop import Gate, HostPass, Result
from reconciler.loop.queue import Backoff
from reconciler.metrics import Metrics
from reconciler.model import Adopt, Attempt, Commit, HostName, HostStatus, Policy
from reconciler.notify import Notify
from reconciler.revisions import Evaluations, Repository
from reconciler.secrets import Keyring, Overlays
from reconciler.settings import (
    PolicySettings,
    RepositorySettings,
    SecretsSettings,
    Settings,
)
from reconciler.world import Live, World
from tests.support.world import (
    Clock,
    Content,
    FakeConnections,
    FakeEvaluator,
    FakeMirror,
    Machine,
)

if TYPE_CHECKING:
    from reconciler.desired import Evaluator
    from reconciler.source import Mirror

# Which fleet it belongs to, it learns as the real one does: from ssh's options.
QUERY = """\
#!/bin/sh
# nix-store --query --requisites|--size PATH...
# nix-store --store ssh://root@ADDRESS --check-validity PATH
if test "$1" = --store; then
  test "$NIX_SSHOPTS" = "-F ssh_config" || exit 1
  test -e "${2#ssh://root@}" && exit
  echo "error: cannot connect to '${2#ssh://}'" >&2
  exit 1
fi
test "$1" = --query || exit 1
what=$2
shift 2
for path; do
  case $what in
    --requisites) echo "$path" ;;
    --size) echo 1000 ;;
    *) exit 1 ;;
  esac
done
"""
COPY = """\
#!/bin/sh
# nix-copy-closure [--use-substitutes] --to root@ADDRESS TOPLEVEL
test "$NIX_SSHOPTS" = "-F ssh_config" || exit 1
stores=$PWD
if test -e "$stores/full"; then
  echo "error: writing to file: No space left on device" >&2
  exit 1
fi
while test "$1" != --to; do shift; done
: > "$stores/${2#root@}/${3##*/}"
"""


class Scene:
    """A repository, Nix, machines, a clock, and one process that looks at them."""

    def __init__(
        self,
        folder: Path,
        *,
        policy: Policy | None = None,
        interval: float = 30.0,
        parallel: int = 4,
        adopt: Adopt = Adopt.ALWAYS,
    ) -> None:
        self.folder = folder
        self.stores = folder / "stores"
        self.clock = Clock()
        self.mirror = FakeMirror(folder / "checkouts")
        self.evaluator = FakeEvaluator(self.mirror, _made(folder / "derivations"))
        self.connections = FakeConnections(self.mirror, _made(self.stores))
        self.settings = Settings(
            repository=RepositorySettings(url=str(folder / "git"), poll=interval),
            policy=PolicySettings(interval=interval, parallel=parallel),
            state=_made(folder / "state"),
        )
        self._adopt = adopt
        self._policy = self._adopting(policy)
        self.begin()

    # --- the process that is tested ----------------------------------------------

    def begin(self) -> None:
        """Begin as a process that has just been started."""
        self.history = History.open(self.settings.state.path / "history.sqlite")
        self.metrics = Metrics()
        self.notify = Notify(self.settings, self.history, self.metrics, self.clock)
        self.world = World(
            live=Live(self.settings, self._policy),
            mirror=cast("Mirror", self.mirror),
            evaluator=cast("Evaluator", self.evaluator),
            overlays=Overlays({}),
            keyring=Keyring(self.evaluator, SecretsSettings()),
            connections=self.connections,
            history=self.history,
            metrics=self.metrics,
            notify=self.notify,
            now=self.clock,
            monotonic=self.clock,
            sleep=self._sleep,
            unanswered=self.mirror.unanswered,
        )
        self.repository = Repository(self.world)
        self.evaluations = Evaluations(self.world)
        # No chance: each wait is as long as it can be.
        backoff: Backoff[HostName] = Backoff(base=2.0, cap=1800.0, draw=lambda: 1.0)
        self.gate = Gate(backoff)
        self.host_pass = HostPass(
            self.world, self.repository, self.evaluations, self.gate
        )

    def _adopting(self, policy: Policy | None) -> Policy:
        """Return *policy* with fresh machines adopted as the scene has it."""
        return replace(policy or Policy(), adopt=self._adopt)

    def _sleep(self, stopping: threading.Event, seconds: float) -> bool:
        """Let time go by, on the clock of the scene."""
        self.clock.advance(seconds)
        return stopping.is_set()

    def restart(self, policy: Policy | None = None) -> None:
        """End the process and begin another one over the same state."""
        self.close()
        self._policy = self._adopting(policy or self._policy)
        self.begin()

    def close(self) -> None:
        """End the process."""
        self.history.close()

    # --- what happens ------------------------------------------------------------

    def push(self, content: Content, subject: str = "A commit") -> Commit:
        """Push a commit that nobody has looked at yet."""
        return self.mirror.push(content, subject)

    def commit(self, content: Content, subject: str = "A commit") -> Commit:
        """Push a commit, look at the repository, and let its hosts be tried at once."""
        commit = self.push(content, subject)
        self.look()
        return commit

    def look(self) -> None:
        """Look at the repository; do for a new commit what the daemon does."""
        revision = self.repository.look()
        for host in revision.hosts if revision else ():
            self.metrics.host_known(host)
            self.gate.forget(host)

    def run(self, host: str) -> Result:
        """Make one pass."""
        return self.host_pass.run(HostName(host))

    # --- what is seen ------------------------------------------------------------

    def machine(self, host: str) -> Machine:
        """Return the machine of a host."""
        return self.connections.machine(host)

    def status(self, host: str) -> HostStatus:
        """Return what history has of a host."""
        (status,) = (one for one in self.history.statuses() if one.host == host)
        return status

    def attempts(self, host: str) -> list[Attempt]:
        """Return the attempts on a host, oldest first."""
        return self.history.attempts(host=HostName(host), limit=1000)[::-1]

    def metric(self, series: str) -> float | None:
        """Return the value of a series, given as Prometheus writes it, or None."""
        for line in self.metrics.render()[0].decode().splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return None

    def records(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table but that of statuses."""
        with contextlib.closing(sqlite3.connect(self._database)) as connection:
            names = connection.execute(
                "select name from sqlite_master where type='table'"
            )
            return {
                name: connection.execute(f'select * from "{name}"').fetchall()  # noqa: S608
                for (name,) in names.fetchall()
                if name != "statuses"
            }

    @property
    def _database(self) -> Path:
        return self.settings.state.path / "history.sqlite"

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """Let every copy fail meanwhile."""
        full = self.stores / "full"
        full.touch()
        try:
            yield
        finally:
            full.unlink()


def write_copy(folder: Path) -> None:
    """Write a nix-copy-closure that brings systems to machines in memory."""
    for name, text in (("nix-copy-closure", COPY), ("nix-store", QUERY)):
        program = folder / name
        program.write_text(text)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
