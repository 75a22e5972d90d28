"""
Hosts that ring: over the connection that is open anyway they say "look again".

Never what has changed: a lost or doubled ring costs nothing, since the look that
follows reads everything afresh, and regular looks go on.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from reconciler.errors import ConnectError, ReconcilerError, quote
from reconciler.loop.damper import Damper
from reconciler.loop.queue import Backoff, Queue
from reconciler.model import (
    Bell,
    BellState,
    BellUse,
    Desired,
    HostName,
    Mode,
)
from reconciler.observed.bell import LOOK, READY, bell
from reconciler.world import World

log = structlog.get_logger(__name__)

FLAPPING = "flapping"
"""The kind of the event that a host rings without end."""

READY_WITHIN = 20.0  # seconds in which what PID 1 logs should have come back to us
REFUSED = 30.0  # seconds at most until a host that got no bell is asked again at first
REFUSED_CAP = 900.0  # and later
LASTED = 60.0  # seconds after which a bell that ends had nothing wrong with it
ENDED_CAP = 300.0  # seconds at most until a bell that ended is there again
WHY = 200  # characters

_OFF = "`policy.bell` is off"
_REPORTS = "`policy.mode` is report: nothing is started on hosts"
_UNADOPTED = "nothing runs on a host that nobody has adopted"
_SILENT = "its journal does not tell what systemd does there"
_BEGINNING = "it is about to get one"


@dataclass(slots=True, kw_only=True)
class _State:
    """What is known of the bell of one host."""

    damper: Damper = field(default_factory=Damper)
    why: str = _BEGINNING  # it does not ring
    rings: bool = False
    ready: object = None  # which of those that were hung has said so
    asked_at: float | None = None  # when it was hung, while it is not known to work
    rings_since: float = 0.0
    not_before: float = 0.0
    told: bool = False  # that it flaps
    said: str = ""  # its last words


class Bells:
    """Those of all hosts; any thread may call."""

    def __init__(self, world: World, queue: Queue[HostName]) -> None:
        self._world = world
        self._queue = queue
        self._lock = threading.Lock()
        self._states: dict[HostName, _State] = {}
        self._hushed: dict[HostName, bool] = {}  # whether one rang meanwhile
        self._again: Backoff[HostName] = Backoff(base=2.0, cap=ENDED_CAP)
        self._later: Backoff[HostName] = Backoff(base=REFUSED, cap=REFUSED_CAP)

    # --- what is seen ------------------------------------------------------------

    def all(self) -> dict[HostName, Bell]:
        """Return how each host is looked at."""
        with self._lock:
            return {host: self._shown(state) for host, state in self._states.items()}

    def _shown(self, state: _State) -> Bell:
        if not state.rings:
            return Bell(state=BellState.POLLED, why=self._why(state))
        if self._flaps(state):
            why = "it rings without end: its journal tells what goes on"
            return Bell(state=BellState.FLAPPING, why=why)
        return Bell(state=BellState.RINGS)

    def _why(self, state: _State) -> str:
        return _SILENT if self._is_late(state) else state.why

    def _is_late(self, state: _State) -> bool:
        asked, now = state.asked_at, self._world.monotonic()
        return asked is not None and now > asked + READY_WITHIN

    def _flaps(self, state: _State) -> bool:
        interval = self._world.settings.policy.interval
        return state.damper.flaps(self._world.monotonic(), interval)

    # --- what a pass does --------------------------------------------------------

    def tend(self, desired: Desired, *, adopted: bool) -> None:
        """See to it that a host that has answered rings, if it may and can."""
        host = desired.host
        with self._lock:
            state = self._states.setdefault(host, _State())
        if without := self._without(adopted=adopted):
            self._stop(host, state, without)
        elif self._is_late(state):
            self._refused(host, state, _SILENT)
        elif (wait := state.not_before - self._world.monotonic()) > 0:
            # Whoever else asks for a look cancels the one that was asked for.
            self._queue.add_after(host, wait)
        else:
            self._begin(desired, state)
        self._tell_flapping(host, state)
        self._world.metrics.host_bell(host, self._shown(state).state)

    def _without(self, *, adopted: bool) -> str:
        """Return why a host is to have no bell, empty if it is to have one."""
        if self._world.settings.policy.bell is BellUse.OFF:
            return _OFF
        if self._world.policy.mode is Mode.REPORT:
            return _REPORTS
        return "" if adopted else _UNADOPTED

    def _stop(self, host: HostName, state: _State, why: str) -> None:
        self._world.connections.ignore(host)
        with self._lock:
            state.rings, state.asked_at, state.why = False, None, why

    def _refused(self, host: HostName, state: _State, why: str) -> None:
        """Ask for no bell for a while: the host cannot have one."""
        log.info("host has no bell; it is polled", host=host, reason=why)
        self._stop(host, state, why)
        wait = self._later.failed(host)
        state.not_before = self._world.monotonic() + wait
        self._queue.add_after(host, wait)

    def _begin(self, desired: Desired, state: _State) -> None:
        """Have the bell hung, if it does not hang there yet."""
        host = desired.host
        paths = [key.path for key in desired.keys.values()]
        paths += [secret.path for secret in desired.secrets]
        this = object()

        def hear(said: str | None) -> None:
            self._hear(host, state, this, said)

        now, connections = self._world.monotonic(), self._world.connections
        try:
            new = connections.listen(host, desired.target, bell(paths), hear)
        except ConnectError:
            self._stop(host, state, "the connection to it broke")
            return  # which another look is made for
        except ReconcilerError as error:
            self._refused(host, state, quote(str(error), WHY))
            return
        with self._lock:
            waits = new and state.ready is not this
            if waits:
                state.rings, state.asked_at, state.why = False, now, _BEGINNING
        if waits:
            self._queue.add_after(host, READY_WITHIN + 1.0)

    def _tell_flapping(self, host: HostName, state: _State) -> None:
        flaps = state.rings and self._flaps(state)
        if flaps and not state.told:
            text = "it rings without end: it is looked at every `policy.interval` only"
            log.warning("host is flapping", host=host)
            now = self._world.now()
            self._world.history.event(now=now, kind=FLAPPING, host=host, text=text)
        elif state.told and not flaps:
            log.info("host does not flap any more", host=host)
        state.told = flaps

    @contextmanager
    def hushed(self, host: HostName) -> Iterator[None]:
        """Hear nothing of *host* while we change it, and look at it once thereafter."""
        with self._lock:
            self._hushed[host] = False
        try:
            yield
        finally:
            with self._lock:
                rang = self._hushed.pop(host, False)
            if rang:
                self._queue.add(host)

    def forget(self, host: HostName) -> None:
        """Forget a host that left the repository."""
        with self._lock:
            self._states.pop(host, None)
        self._again.forget(host)
        self._later.forget(host)

    # --- what hosts say ----------------------------------------------------------

    def _hear(
        self, host: HostName, state: _State, this: object, said: str | None
    ) -> None:
        with self._lock:
            if self._states.get(host) is not state:
                return
        if said is None:
            self._ended(host, state)
        elif said == READY:
            self._works(host, state, this)
        elif said == LOOK:
            self._world.metrics.host_rang(host)
            self._rang(host, state)
        else:
            state.said = quote(said, WHY)

    def _works(self, host: HostName, state: _State, this: object) -> None:
        """Look at a host whose bell works: what was before was not heard."""
        self._later.forget(host)
        with self._lock:
            state.rings, state.asked_at, state.why = True, None, ""
            state.ready, state.rings_since = this, self._world.monotonic()
        self._world.metrics.host_bell(host, BellState.RINGS)
        self._look(host)

    def _rang(self, host: HostName, state: _State) -> None:
        if self._is_hushed(host):
            return
        interval = self._world.settings.policy.interval
        after = state.damper.rang(self._world.monotonic(), interval)
        if after is not None:
            self._queue.add_after(host, after)

    def _is_hushed(self, host: HostName) -> bool:
        with self._lock:
            hushed = host in self._hushed
            if hushed:
                self._hushed[host] = True
        return hushed

    def _look(self, host: HostName) -> None:
        if not self._is_hushed(host):
            self._queue.add(host)

    def _ended(self, host: HostName, state: _State) -> None:
        """Look at a host whose bell has ended, and have it hung again."""
        now = self._world.monotonic()
        if not state.rings:
            self._refused(host, state, state.said or "it ended at once")
            return
        hushed = self._is_hushed(host)  # then it was us: an attempt connects anew
        if hushed or now - state.rings_since > LASTED:
            self._again.forget(host)
        wait = 0.0 if hushed else self._again.failed(host)
        with self._lock:
            state.rings, state.why = False, "it has ended, and is about to get another"
            state.not_before = now + wait
        self._world.metrics.host_bell(host, BellState.POLLED)
        if not hushed:
            self._queue.add(host)
