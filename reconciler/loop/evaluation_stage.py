"""
The stage between a commit that arrived and hosts that are queued.

Here hosts are evaluated, and then queued. Nix may take minutes for a fleet: meanwhile
passes go on with what each host should be by the last commit that was evaluated for it,
and a commit never stalls healing. Whatever else has a host evaluated again (settings, a
nixpkgs that changed, a person's `retry`) comes this way too.
"""

from collections.abc import Callable

import structlog

from reconciler.errors import ReconcilerError, StoppingError
from reconciler.loop.queue import Queue
from reconciler.model import HostName
from reconciler.revisions.evaluations import Evaluations
from reconciler.revisions.repository import Repository
from reconciler.world import World

log = structlog.get_logger(__name__)


class EvaluationStage:
    """Evaluates hosts in threads of its own; any thread may ask, however often."""

    def __init__(
        self,
        world: World,
        repository: Repository,
        evaluations: Evaluations,
        *,
        ready: Callable[[HostName], None],
    ) -> None:
        """Take what hears of each host that was evaluated, whether it worked or not."""
        self._world = world
        self._repository = repository
        self._evaluations = evaluations
        self._ready = ready
        self._queue: Queue[HostName] = Queue()

    def ask(self, host: HostName) -> None:
        """Have *host* evaluated by the newest commit, after those that wait."""
        self._queue.add(host)

    def run(self) -> None:
        """Evaluate until the end; to be run by as many threads as there are cores."""
        while (host := self._queue.get()) is not None:
            if not self._world.stopping.is_set():
                self._evaluate(host)
            self._queue.done(host)
            self._ready(host)

    def shut(self) -> None:
        """Begin no more."""
        self._queue.shut_down()

    def _evaluate(self, host: HostName) -> None:
        revision = self._repository.current
        if revision is None or host not in revision.hosts:
            return
        try:
            with self._world.mirror.held(revision.commit):
                self._evaluations.prepare(revision, host)
        except StoppingError:
            return
        except ReconcilerError as error:
            # No checkout: the pass meets the same, and tells of it.
            log.warning("cannot evaluate", host=host, error=str(error))
        except Exception:
            # A bug must cost one host, not the thread.
            log.exception("evaluation failed in a way we do not know", host=host)
