"""Rollbacks that a daemon carries out for people, each in a thread of its own."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

import structlog

from reconciler.errors import (
    ConnectError,
    ReconcilerError,
    UnknownGenerationError,
)
from reconciler.loop.rollback import Rollback
from reconciler.model import Attempt, Hold, HostName
from reconciler.observed import Generation, generations, previous
from reconciler.revisions.evaluations import Evaluations
from reconciler.revisions.last_address import last_known
from reconciler.revisions.repository import Repository
from reconciler.world import World

log = structlog.get_logger(__name__)

BEGIN_SECONDS = 60.0
"""How long a rollback may take until it is recorded as begun."""


class Rollbacks:
    """Begins rollbacks; any thread may ask."""

    def __init__(
        self, world: World, repository: Repository, evaluations: Evaluations
    ) -> None:
        self._world = world
        self._repository = repository
        self._evaluations = evaluations
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def begin(self, hold: Hold, to: int | None, *, keep_keys: bool = False) -> Attempt:
        """
        Take the host of *hold* back, and hold it; return the attempt as it begins.

        *to* is the number of the generation, None for the one before. Raises
        UnknownHostError, UnknownGenerationError, HostBusyError, and what looking at
        the host raises.
        """
        desired = last_known(
            self._world,
            self._evaluations,
            hold.host,
            lambda: self._repository.current,
        )
        reader = self._world.connections.reader(desired.host, desired.target)
        chosen = choose(desired.host, generations(reader), to)
        if not hold.reason:
            hold = replace(hold, reason=f"taken back to generation {chosen.number}")
        begun: Future[Attempt] = Future()
        rollback = Rollback(
            world=self._world,
            desired=desired,
            generation=chosen,
            hold=hold,
            keep_keys=keep_keys,
            begun=begun.set_result,
        )
        thread = threading.Thread(
            target=_run, args=(rollback, begun), name=f"rollback-{hold.host}"
        )
        thread.daemon = True
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
        thread.start()
        try:
            return begun.result(BEGIN_SECONDS)
        except TimeoutError as error:
            message = f"{hold.host}: the rollback has not begun for {BEGIN_SECONDS:g} s"
            raise ConnectError(message, host=hold.host) from error

    def threads(self) -> list[threading.Thread]:
        """Return the threads of rollbacks that may be under way."""
        with self._lock:
            return list(self._threads)


def _run(rollback: Rollback, begun: Future[Attempt]) -> None:
    try:
        rollback.run()
    except ReconcilerError as error:
        if begun.done():
            log.warning("rollback failed", error=str(error))
        else:
            begun.set_exception(error)
    except Exception as error:
        log.exception("rollback failed in a way we do not know")
        if not begun.done():
            begun.set_exception(error)


def choose(host: HostName, found: Sequence[Generation], to: int | None) -> Generation:
    """
    Return generation *to* of those that were *found*, None: the one before.

    Raises UnknownGenerationError.
    """
    if to is None:
        chosen = previous(found)
    else:
        chosen = next((one for one in found if one.number == to), None)
    if chosen is None:
        numbers = [one.number for one in found]
        raise UnknownGenerationError(host, to, known=numbers)
    return chosen
