"""When the repository is looked at: at once when told to, else now and then."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from reconciler.errors import (
    PermanentError,
    ReconcilerError,
    SourceError,
    StoppingError,
)
from reconciler.loop.numbered_looks import Looked, Looks
from reconciler.loop.queue import CHANCE, Backoff
from reconciler.revisions.repository import Repository
from reconciler.source import LOOK_DEADLINE
from reconciler.world import World

log = structlog.get_logger(__name__)

HEARTBEAT = 5.0  # seconds between two signs of life while nothing is looked at
SILENT_LIMIT = 900.0  # seconds without one, beyond what a look may take
FETCH_BACKOFF_CAP = 900.0  # seconds at most between two tries to fetch
SPREAD = 0.2  # part of an interval by which looks are spread out, so that they drift
FOLLOW_UPS = (2.0, 5.0, 15.0, 40.0)
"""Seconds between the looks after a push that was announced and not found yet."""
SLOW_LOOK = 10.0  # seconds after which people are told that a look is under way

REPOSITORY = "repository"  # the one key of the backoff


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Seconds until the next look, of which nobody may cut short the first ones."""

    seconds: float
    barred: float = 0.0
    error: str = ""  # of the look that was made


class RepositoryWatch:
    """Looks at the repository until the world stops; to be run by a thread."""

    def __init__(
        self,
        world: World,
        repository: Repository,
        *,
        announce: Callable[[], None],
        alive: Callable[[], None],
    ) -> None:
        """
        Take what is done after each look, and what hears that this still runs.

        *announce* may raise what a look may raise; the look counts as failed then.
        """
        self._world = world
        self._repository = repository
        self._announce = announce
        self._alive = alive
        self._looking_since: float | None = None
        self._pushed = threading.Event()
        self._follow_ups: list[float] = []
        self._due = threading.Event()
        self._retry: Backoff[str] = Backoff(
            base=lambda: world.settings.repository.poll, cap=FETCH_BACKOFF_CAP
        )
        self.looks = Looks()

    def look_again(self) -> None:
        """Look now; any thread may call this, however often."""
        self._due.set()

    def pushed(self) -> None:
        """
        Look now, since somebody says that there is something new.

        A forge may say so before it shows it, or be too busy to be read just then:
        while nothing new is found, more looks follow soon.
        """
        self._pushed.set()
        self._due.set()

    @property
    def doing(self) -> str:
        """What takes long just now, in words; empty while nothing does."""
        since = self._looking_since
        seconds = 0.0 if since is None else self._world.monotonic() - since
        if seconds < SLOW_LOOK:
            return ""
        return f"looking at the repository for {seconds:.0f} s"

    @property
    def patience(self) -> float:
        """Seconds until the next sign of life, at most: a look gives none."""
        if self._looking_since is None:
            return SILENT_LIMIT
        # Where the newest commit cannot be used, the one before is read as well.
        settings = self._world.settings
        evaluate = 2 * settings.nix.evaluate_timeout
        places = 1 + len(settings.repository.fallbacks)
        return SILENT_LIMIT + places * LOOK_DEADLINE + evaluate

    def run(self) -> None:
        """Look, wait, look again."""
        while not self._world.stopping.is_set():
            self._due.clear()
            self.looks.begin()  # after that: who asks in between gets one more look
            self._alive()
            pause = self._noted_look()
            self._alive()
            current = self._repository.current
            commit = current.commit.id if current else None
            self.looks.end(Looked(commit=commit, error=pause.error))
            self._wait(self._world.stopping, pause.barred)
            self._wait(self._due, pause.seconds - pause.barred)

    def _noted_look(self) -> Pause:
        """Look; have it known meanwhile that we do, and look soon again if promised."""
        if self._pushed.is_set():
            self._pushed.clear()
            self._follow_ups = list(FOLLOW_UPS)
        before = self._repository.current
        self._looking_since = self._world.monotonic()
        self._world.metrics.look_began(self._world.now())
        try:
            pause = self._look()
        finally:
            self._looking_since = None
            self._world.metrics.look_ended()
        if self._repository.current is not before:
            self._follow_ups = []
        if self._follow_ups:
            soon = max(self._follow_ups.pop(0), pause.barred)
            return replace(pause, seconds=min(pause.seconds, soon))
        return pause

    def _wait(self, event: threading.Event, seconds: float) -> None:
        """Wait for *event*, at most *seconds*, with signs of life."""
        left = seconds
        while left > 0:
            self._alive()
            if event.wait(min(left, HEARTBEAT)):
                return
            left -= HEARTBEAT

    def _look(self) -> Pause:
        """Look at the repository; return how long to wait for the next look."""
        problem = ""
        try:
            problem = self._read()
            self._announce()
        except StoppingError as error:
            return Pause(seconds=0.0, error=str(error))
        except ReconcilerError as error:
            asked = error.retry_after if isinstance(error, SourceError) else None
            log.warning(
                "cannot read the repository", error=str(error), asked_to_wait=asked
            )
            return self._backed_off(str(error), asked or 0.0)
        except Exception:
            log.exception("looking at the repository failed in a way we do not know")
            return self._backed_off("a bug; see the log")
        self._retry.forget(REPOSITORY)
        wait = spread(self._world.settings.repository.poll)
        return Pause(seconds=wait, error=problem)

    def _read(self) -> str:
        """Read the newest commit; return why it cannot be used, if it cannot."""
        try:
            self._repository.look()
        except PermanentError as error:
            # The repository itself answers, and its next commit may be better.
            log.warning("cannot use the newest commit", error=str(error))
            return str(error)
        return ""

    def _backed_off(self, error: str, barred: float = 0.0) -> Pause:
        """Return a pause that grows, of *barred* seconds at least."""
        wait = self._retry.failed(REPOSITORY) + 1.0
        return Pause(seconds=max(wait, barred), barred=barred, error=error)


def spread(seconds: float) -> float:
    """Return *seconds*, more or less, so that looks do not fall into step."""
    return seconds * (1 + SPREAD * (CHANCE.random() - 0.5))
