"""
Everything that a pass uses to touch the world, in one value.

It is handed on as what each part of the program needs of it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from reconciler.desired import Evaluator, from_json
from reconciler.errors import StateError, StoppingError
from reconciler.history import History, approval_of_system
from reconciler.metrics import Metrics
from reconciler.model import (
    Desired,
    Digests,
    Hold,
    HostName,
    Known,
    Policy,
    Quarantine,
    Reason,
    Reboot,
    StorePath,
)
from reconciler.notify import Notify
from reconciler.process import Cage
from reconciler.remote import Transport
from reconciler.secrets import ClosedKeyring, Keyring, Overlays
from reconciler.settings import Settings
from reconciler.source import Mirror
from reconciler.world.live import Live

Tell = Callable[[HostName, str], None]
"""Hears what is being done on which host, for a person who watches."""


def tell_nobody(_host: HostName, _what: str) -> None:
    """Hear nothing."""


def nowhere_else(_seconds: float) -> str:
    """Say that the repository can be read: no network leads to it."""
    return ""


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every part of a pass uses: settings, memory, clock, and who watches."""

    live: Live
    history: History
    metrics: Metrics
    now: Callable[[], float] = time.time  # noqa: TID251 # the loop owns the clock
    monotonic: Callable[[], float] = time.monotonic
    stopping: threading.Event = field(default_factory=threading.Event)
    sleep: Callable[[threading.Event, float], bool] = threading.Event.wait
    tell: Tell = tell_nobody

    @property
    def settings(self) -> Settings:
        """The settings of now; they may differ at the next call."""
        return self.live.now[0]

    @property
    def policy(self) -> Policy:
        """What may be done now."""
        return self.live.now[1]

    def pause(self, seconds: float) -> None:
        """Let *seconds* go by. Raises StoppingError once the program is ending."""
        if self.sleep(self.stopping, seconds):
            what = "waiting for a host"
            raise StoppingError(what)


@dataclass(frozen=True, kw_only=True)
class CommitWorld(Common):
    """What it takes to know which commit counts, and what it says: no host."""

    mirror: Mirror
    evaluator: Evaluator
    overlays: Overlays
    notify: Notify


@dataclass(frozen=True, kw_only=True)
class HostWorld(Common):
    """What it takes to look at a host and to change it: no repository."""

    evaluator: Evaluator
    keyring: Keyring | ClosedKeyring
    connections: Transport
    cage: Cage | None = None  # for programs that a commit names
    driver: str = ""  # who we are, as we sign hosts that we change
    unanswered: Callable[[float], str] = nowhere_else
    """Why the repository cannot be read, asked for so many seconds; empty if it can."""

    def known(self, desired: Desired) -> Known:
        """Return what history remembers of a host and a plan may use."""
        with self.history.at_once():
            return self._known(desired)

    def _known(self, desired: Desired) -> Known:
        host, toplevel, history = desired.host, desired.toplevel, self.history
        hold, failed = self.orders(host, toplevel)
        applied = history.applied(host)
        # What need not be asked of the database at every look is not.
        new, reboots = applied != toplevel, self.policy.reboot is Reboot.ALLOWED
        return Known(
            applied=applied,
            machine_id=history.machines.id_of(host),
            delivered=history.delivered(host),
            hold=hold.reason if hold else None,
            quarantine=failed.reason if failed else None,
            services=history.systems.services(host) if new else frozenset(),
            former=self._former(host) if new else None,
            approved=history.is_approved(approval_of_system(host, toplevel)),
            adopted=history.is_adopted(host),
            driver=self.driver,
            rebooted=reboots and history.systems.rebooted_for(host) == toplevel,
            refused=reboots and self._refused(desired),
            turn=history.turns.reboot() if reboots else None,
        )

    def _refused(self, desired: Desired) -> bool:
        """Return whether the last attempt ended since the system wants a reboot."""
        last = self.history.attempts(host=desired.host, limit=1)
        return any(
            one.target == desired.toplevel and one.reason is Reason.REBOOT_FIRST
            for one in last
        )

    def _former(self, host: HostName) -> Desired | None:
        """Return what *host* was last in sync with."""
        declared = self.history.systems.confirmed(host)
        try:
            return None if declared is None else from_json(declared.desired)
        except StateError:
            return None  # kept by a version that wrote it in another way

    def orders(
        self, host: HostName, target: StorePath | None
    ) -> tuple[Hold | None, Quarantine | None]:
        """Return the hold of *host*, and the quarantine of what it should run."""
        with self.history.at_once():
            hold = self.history.hold_of(host, self.now())
            failed = self.history.quarantine_of(host, target) if target else None
        return hold, failed

    def gc_root(self, host: HostName) -> Path:
        """Return the link that keeps what was built for *host* from our own Nix."""
        return self.settings.state.path / "gcroots" / quote(host, safe="")

    def digests(self, desired: Desired, checkout: Path) -> Digests:
        """Return what the desired keys hash to, by their sources in *checkout*."""
        return self.keyring.digests(desired, checkout) if desired.keys else Digests()


@dataclass(frozen=True, kw_only=True)
class World(CommitWorld, HostWorld):
    """The adapters, the settings and the clock; made once by the composition root."""
