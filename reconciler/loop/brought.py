"""
A thread that works out what attempts brought, after they have ended.

One for all hosts, apart from the workers that look at hosts: no deployment waits for
it. What is to be done stands in the database, so a restart loses nothing.
"""

import threading
from collections.abc import Callable
from dataclasses import replace

import structlog

from reconciler.attempt import brought
from reconciler.errors import ReconcilerError, StateError, StoppingError
from reconciler.model import Attempt, Desired, HostName, Observed
from reconciler.revisions.evaluations import Evaluations
from reconciler.world import World, last_way

log = structlog.get_logger(__name__)

LOOK = 5.0
"""Seconds between two looks that nobody asked for: commands make attempts, too."""

AFTER_A_BUG = 60.0  # seconds


class BroughtLater:
    """Notes what has ended, and works it out; any thread may call any method."""

    def __init__(
        self,
        world: World,
        evaluations: Evaluations,
        *,
        mine: Callable[[HostName], bool] = lambda _host: True,
    ) -> None:
        """Of several workers, each works out what came to the hosts that are *mine*."""
        self._mine = mine
        self._world = world
        self._evaluations = evaluations
        self._connections = world.connections.apart()
        self._wake = threading.Event()

    def note(
        self,
        ended: Attempt,
        desired: Desired,
        *,
        before: Observed | None,
        after: Observed,
    ) -> None:
        """Note that an attempt has ended; nothing comes of it but a record."""
        world = self._world
        try:
            if brought.note(world, ended, desired, before=before, after=after):
                self._wake.set()
        except StateError as error:
            log.warning("what came with it is not kept", error=str(error))

    def run(self) -> None:
        """Work until the program ends."""
        stopping = self._world.stopping
        try:
            while not stopping.is_set():
                self._wake.clear()
                wait = LOOK if self.turn() else AFTER_A_BUG
                self._wake.wait(wait)
        finally:
            self._connections.close()

    def shut(self) -> None:
        """Wake the thread, to see that the program ends."""
        self._wake.set()

    def work_off(self) -> None:
        """Work out what is to be. Raises StateError, StoppingError."""
        while found := self._pending():
            for attempt_id, host in found:
                good = self._evaluations.last_good(host)
                desired = good.desired if good else None
                if desired is not None and (way := last_way(self._world, host)):
                    desired = replace(desired, target=way)  # where it is
                brought.complete(self._world, attempt_id, self._connections, desired)
                self._connections.forget(host)
            self._world.notify.wake()

    def _pending(self) -> list[tuple[str, HostName]]:
        history = self._world.history
        found = [(one, history.attempt(one).host) for one in history.brought.pending()]
        return [(one, host) for one, host in found if self._mine(host)]

    def turn(self) -> bool:
        """Work off what there is; log what is wrong, and return False after a bug."""
        try:
            self.work_off()
        except StoppingError:
            pass
        except ReconcilerError as error:
            log.warning("what came with an attempt is not kept", error=str(error))
        except Exception:
            # A bug must cost time, not the thread.
            log.exception("working out what an attempt brought failed")
            return False
        return True
