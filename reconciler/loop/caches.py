"""
A thread that pushes to caches what was built here; no deployment waits for it.

What is to be pushed is not kept in a queue: it is the newest system of each host that
this machine keeps, without what a cache was given. So a restart loses nothing, and what
was overtaken while a cache was away is not sent any more.
"""

import threading
from collections.abc import Sequence
from dataclasses import replace

import structlog

from reconciler.desired import push
from reconciler.errors import CacheError, ReconcilerError, StoppingError
from reconciler.history import pushed
from reconciler.history.pushed import Pushed
from reconciler.loop.queue import Backoff
from reconciler.model import StorePath
from reconciler.source import shown
from reconciler.world import World

log = structlog.get_logger(__name__)

LOOK = 5.0  # seconds between two looks at what was built
IDLE = 3600.0  # where there is no cache
BACKOFF_CAP = 1800.0  # seconds at most between two tries at a cache
AFTER_TROUBLE = 60.0  # our own: a bug, or a state directory that is full


class Caches:
    """Pushes what is to be pushed; one thread calls it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._wake = threading.Event()
        self._retry: Backoff[str] = Backoff(base=20.0, cap=BACKOFF_CAP)
        self._not_before: dict[str, float] = {}  # on World.monotonic
        self._failed: dict[str, list[StorePath]] = {}  # the one that did last is last
        for cache in world.settings.cache.push:
            world.metrics.cache_known(shown(cache))

    def run(self) -> None:
        """Push until the program ends."""
        while not self._world.stopping.is_set():
            wait = LOOK if self._world.settings.cache.push else IDLE
            self._wake.wait(wait if self.turn() else AFTER_TROUBLE)

    def shut(self) -> None:
        """Wake the thread, to see that the program ends."""
        self._wake.set()

    def turn(self) -> bool:
        """Push what there is to each cache once; return False if that went amiss."""
        try:
            self._push_all()
        except StoppingError:
            pass
        except (ReconcilerError, OSError) as error:
            log.warning("what was pushed is not known", error=str(error))
            return False
        except Exception:
            # A bug must cost time, not the thread.
            log.exception("pushing to caches failed in a way we do not know")
            return False
        return True

    def _push_all(self) -> None:
        caches = self._world.settings.cache.push
        if not caches:
            return
        systems = self._built()
        for cache in caches:
            if self._not_before.get(cache, 0.0) <= self._world.monotonic():
                self._push_to(cache, systems)

    def _built(self) -> list[StorePath]:
        """Return the newest system of each host that was built here."""
        found: dict[StorePath, None] = {}
        for status in self._world.history.statuses():
            root = self._world.gc_root(status.host)
            if root.is_symlink() and root.exists():
                found[StorePath(str(root.readlink()))] = None
        return list(found)

    def _push_to(self, cache: str, systems: Sequence[StorePath]) -> None:
        """
        Push what *cache* was not given; at a failure the rest waits, too.

        What failed comes last the next time: one system that a cache does not take,
        or that cannot be read, must not keep those of other hosts from it.
        """
        name = shown(cache)
        before = pushed.read(self._world.settings.state.path).get(name, Pushed())
        has = [one for one in before.has if one in systems]
        failed = [one for one in self._failed.get(cache, ()) if one in systems]
        left = [one for one in systems if one not in (*has, *failed)]
        left += [one for one in failed if one not in has]
        problem = ""
        while left and not problem:
            problem = self._try(cache, left[0])
            if not problem:
                has.append(left.pop(0))
        failed = [one for one in failed if one in left[1:]]
        self._failed[cache] = [*failed, left[0]] if problem else []
        self._note(name, before, Pushed(has=tuple(has), waiting=len(left)), problem)
        if problem:
            wait = self._retry.failed(cache)
            self._not_before[cache] = self._world.monotonic() + wait
        else:
            self._retry.forget(cache)

    def _try(self, cache: str, system: StorePath) -> str:
        """Push one system; return what was wrong."""
        world, name = self._world, shown(cache)
        try:
            push(world.settings.nix, cache, system)
        except CacheError as error:
            world.metrics.cache_pushed(name, well=False)
            problem = shown(str(error))
            log.warning("cannot push to a cache", cache=name, error=problem)
            return problem
        world.metrics.cache_pushed(name, well=True)
        log.info("pushed to a cache", cache=name, system=system)
        return ""

    def _note(self, name: str, before: Pushed, now: Pushed, problem: str) -> None:
        """Record how a cache stands, and as an event where that is news."""
        world = self._world
        since = before.since if before.problem else world.now()
        if problem:
            now = replace(now, problem=problem, since=since)
        world.metrics.cache_waits(name, now.waiting)
        if now == before:
            return
        if bool(problem) != bool(before.problem):
            text = f"cannot push to {name}: {problem}" if problem else f"{name} is back"
            world.history.event(now=world.now(), kind="cache", text=text)
        known = pushed.read(world.settings.state.path)
        names = {shown(cache) for cache in world.settings.cache.push}
        kept = {other: one for other, one in known.items() if other in names}
        pushed.write(world.settings.state.path, {**kept, name: now})
