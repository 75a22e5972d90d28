"""
One worker among several: it says that it lives, takes its share of hosts, may lead.

All that workers have to agree on is in the database, which each asks every second: who
lives, by one clock, and who has which host, by numbers that only grow. Between two
answers nobody believes for longer than `STALE` that a host is still his.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from reconciler.errors import ClaimedError, StateError
from reconciler.history import DEAD_AFTER, History
from reconciler.loop.placement import placed
from reconciler.model import CommitId, HostName, Worker

log = structlog.get_logger(__name__)

TICK = 1.0  # seconds between two signs of life
STALE = 5.0  # seconds after the last one that was heard; others wait for DEAD_AFTER
PAUSE = 0.5  # seconds until the database is asked again that did not answer
LOOK = "look"  # what is rung for the leader
HOSTS = "hosts"  # and for all


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the daemon of a worker does when something is heard."""

    hosts: Callable[[], tuple[HostName, ...]]  # of the commit that counts here
    commit: Callable[[], CommitId | None]  # that one
    placed: Callable[[frozenset[HostName], frozenset[HostName]], None]
    """Gets hosts that are ours from now on, and those that are not any more."""
    leads: Callable[[], None]
    look: Callable[[], None]
    ended: Callable[[str], None]
    """Gets why this worker cannot go on."""


class OtherDaemonError(StateError):
    """A daemon that shares with nobody works with the database."""

    def __init__(self, owner: str) -> None:
        super().__init__(
            f"{owner} has all hosts for itself: stop `reconciler run` before workers"
            " start, and the workers before it"
        )


class Sharing:
    """The placement of a worker; see `Placement`."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._line = history.line()
        self._heard: Heard | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sharing", daemon=True)
        self._leading = contextlib.ExitStack()
        self._beat_at = 0.0  # on time.monotonic, when it was last heard
        self._judges_from = 0.0
        self._live: frozenset[str] = frozenset()
        self._buried: dict[str, float] = {}  # when they were heard last
        self._asked: tuple[frozenset[str], tuple[HostName, ...]] | None = None
        self._share: frozenset[HostName] = frozenset()
        self._mine: frozenset[HostName] = frozenset()
        self.leads = False
        self.leader = ""

    # --- what is asked -----------------------------------------------------------

    def mine(self, host: HostName) -> bool:
        """See Placement; nothing is once the database has not heard us for a while."""
        return host in self._mine and time.monotonic() < self._beat_at + STALE

    def announced(self) -> None:
        """See Placement."""
        self._ring(HOSTS)

    def pushed(self) -> None:
        """See Placement."""
        if not self.leads:
            self._ring(LOOK)

    def _ring(self, what: str) -> None:
        try:
            self._line.ring(what)
        except StateError as error:
            log.warning("other workers will see it later", error=str(error))

    # --- its life ----------------------------------------------------------------

    def start(self, heard: Heard) -> None:
        """Begin to share. Raises OtherDaemonError, StateError."""
        self._heard = heard
        self._line.begin()
        self._beat_at = time.monotonic()
        self._turn(heard)
        self._thread.start()

    def stop(self) -> None:
        """Leave, so that others take at once what was ours."""
        self._stopping.set()
        self._thread.join(2 * TICK + PAUSE)
        self._mine = frozenset()
        with contextlib.suppress(StateError):
            self._line.leave()
            self._line.ring(HOSTS)
        self._line.drop()
        self._leading.close()

    def _run(self) -> None:
        heard = self._heard
        while heard is not None and not self._stopping.is_set():
            try:
                self._turn(heard)  # first of all: silent, we would be cut off again
                news = self._line.await_news(TICK)
                if LOOK in news and self.leads:
                    heard.look()
            except OtherDaemonError as error:
                self._mine = frozenset()
                heard.ended(str(error))
                return
            except StateError as error:
                log.warning("this worker is not heard", error=str(error))
                self._judges_from = time.monotonic() + DEAD_AFTER
                self._line.drop()
                self._stopping.wait(PAUSE)
            except Exception:
                # A bug must cost a turn, not the share of this worker.
                log.exception("sharing hosts failed in a way we do not know")
                self._line.drop()
                self._stopping.wait(PAUSE)

    # --- a turn ------------------------------------------------------------------

    def _turn(self, heard: Heard) -> None:
        if self.leads and (told := self._history.usurped()):
            self._mine = frozenset()
            heard.ended(told)
            return
        began = time.monotonic()
        again = began > self._beat_at + STALE
        if again:
            # We or the database were away: the others may be as silent for that.
            self._judges_from = began + DEAD_AFTER
        known = self._line.beat(leads=self.leads)
        self._beat_at = began
        self._judge(known, began)
        self._try_to_lead(heard, known, began)
        self._take(heard, again=again)
        if not self.leads and self._line.newest() != heard.commit():
            heard.look()

    def _judge(self, known: list[Worker], now: float) -> None:
        """Find out who lives, and bury who does not."""
        live = {one.id for one in known if one.live} | {self._line.id}
        if now < self._judges_from:
            live |= self._live & {one.id for one in known}
        dead = {one.id: one.heard for one in known if one.id not in live}
        for one in known:
            if one.id in dead and one.id in self._live:
                log.warning("a worker is silent: its hosts are taken", who=one.told)
        # Once only: whoever comes back must be able to say so.
        anew = [one for one in known if dead.get(one.id) != self._buried.get(one.id)]
        if buried := [one for one in anew if one.id in dead]:
            self._line.bury(buried)
        self._buried = dead
        self._live = frozenset(live)
        leaders = [one.told for one in known if one.leads and one.id in live]
        self.leader = next(iter(leaders), "")

    def _try_to_lead(self, heard: Heard, known: list[Worker], now: float) -> None:
        if self.leads or now < self._judges_from:
            return  # whoever led before claims it again first
        try:
            self._leading.enter_context(self._history.only_daemon())
        except ClaimedError as error:
            names = tuple(f"reconciler {one.id}," for one in known)
            ours = not error.owner.startswith("reconciler ") or error.owner.startswith(
                names
            )
            if not ours:
                raise OtherDaemonError(error.owner) from error
            return
        log.info("this worker leads: it looks at the repository, and tells people")
        heard.leads()
        self.leads = True
        heard.look()

    def _take(self, heard: Heard, *, again: bool) -> None:
        """Take what is ours by who lives, from whomever had it."""
        asked = (self._live, heard.hosts())
        if asked != self._asked:
            self._share = placed(asked[1], asked[0], self._line.id)
            self._asked = asked
        missing = self._share - self._line.taken()
        if missing:
            self._line.take(missing)
        before = frozenset() if again else self._mine
        gained, lost = (self._share - before) | missing, self._mine - self._share
        self._mine = self._share
        if gained or lost:
            log.info("hosts", mine=len(self._mine), gained=len(gained), lost=len(lost))
            heard.placed(gained, lost)
