"""
Orders that people give: hold, release, retry, approve, adopt.

The command line and the API give them in the same way: they are written down in
history, where a daemon that runs, in whatever process, sees them within a second
(`OrderWatch`), and one that starts later finds them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from reconciler.errors import StateError, UnknownHostError
from reconciler.history import (
    History,
    Ordered,
    approval_of_commit,
    approval_of_system,
)
from reconciler.model import CommitId, Hold, HostName, StorePath
from reconciler.remote import DeploysItselfError
from reconciler.world import World

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Gives orders in the name of *actor*, at the time *now*."""

    history: History
    now: float
    actor: str

    def hosts(self) -> dict[HostName, tuple[str, ...]]:
        """Return the hosts that orders can be about, with their tags."""
        known = {one.host: one.tags for one in self.history.statuses()}
        # One that left the repository can still be released.
        held = {hold.host: () for hold in self.history.holds(self.now)}
        return {**held, **known}

    def reached(self, hosts: Iterable[HostName]) -> list[HostName]:
        """
        Leave out the *hosts* that deploy themselves, which obey no order given here.

        Raises DeploysItselfError where no other is left.
        """
        pulled = {one.host for one in self.history.statuses() if one.deploys_itself}
        names = list(hosts)
        left = [name for name in names if name not in pulled]
        if names and not left:
            raise DeploysItselfError(names[0])
        return left

    def drafted(
        self, hosts: Iterable[HostName], *, reason: str, seconds: float | None = None
    ) -> list[Hold]:
        """Return holds, for so many *seconds* or until a release, for `hold`."""
        until = None if seconds is None else self.now + seconds
        return [
            Hold(
                host=host,
                reason=reason,
                actor=self.actor,
                since=self.now,
                until=until,
            )
            for host in self.reached(hosts)
        ]

    def hold(self, holds: Iterable[Hold]) -> None:
        """
        Have hosts left alone.

        What is under way goes on to its end. A hold that there is gives way.
        """
        for hold in holds:
            self.history.hold(hold)

    def release(self, hosts: Iterable[HostName], *, reason: str = "") -> list[HostName]:
        """Let go of *hosts*; return those that were held."""
        now, who = self.now, self.actor
        return [
            host
            for host in hosts
            if self.history.release(host, now=now, actor=who, reason=reason)
        ]

    def retry(self, hosts: Iterable[HostName], *, reason: str = "") -> list[HostName]:
        """
        Have *hosts* tried again at once; return those that were in quarantine.

        Lifts quarantines and ends every wait between attempts. Holds stay.
        """
        now, who = self.now, self.actor
        return [
            host
            for host in self.reached(hosts)
            if self.history.lift(host, now=now, actor=who, reason=reason)
        ]

    def to_come(self, hosts: Iterable[HostName]) -> dict[HostName, StorePath]:
        """
        Return the systems that *hosts* should run, as when they were last looked at.

        Raises UnknownHostError for a host of which that is not known.
        """
        targets = {one.host: one.target for one in self.history.statuses()}
        found: dict[HostName, StorePath] = {}
        for host in self.reached(hosts):
            target = targets.get(host)
            if target is None:
                raise UnknownHostError(host, known=[h for h in targets if targets[h]])
            found[host] = target
        return found

    def adopt(self, hosts: Iterable[HostName], *, reason: str = "") -> list[HostName]:
        """
        Let *hosts* be brought to what their commits say, whatever they run.

        Returns those of which nobody had said so, and that were never in sync.
        """
        now, who = self.now, self.actor
        return [
            host
            for host in self.reached(hosts)
            if self.history.adopt(host, now=now, actor=who, reason=reason)
        ]

    def approve(
        self, systems: Mapping[HostName, StorePath], *, reason: str = ""
    ) -> None:
        """Let these systems come, whatever services they take away."""
        for host, toplevel in systems.items():
            self.history.approve(
                approval_of_system(host, toplevel),
                host=host,
                now=self.now,
                actor=self.actor,
                reason=reason,
            )

    def approve_commit(self, commit: CommitId, *, reason: str = "") -> None:
        """Let *commit* count, whatever hosts it takes away."""
        what = approval_of_commit(commit)
        self.history.approve(what, now=self.now, actor=self.actor, reason=reason)


class OrderWatch:
    """
    Notices what any process ordered since the watch began.

    It does not say what holds: whoever is told looks at history. So what was ordered
    before the beginning need not be told, as long as every host is looked at then.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._serial: int | None = None
        self._away = False

    def news(self) -> list[Ordered]:
        """Return what is new; nothing at the first call, or without a database."""
        history = self._world.history
        try:
            if self._serial is None:
                self._serial = history.orders_serial()
            history.end_holds(self._world.now())
            news = history.orders_since(self._serial)
        except StateError as error:
            # Those who need the database say so, again and again; here once is enough.
            if not self._away:
                log.warning("cannot see what was ordered", error=str(error))
            self._away = True
            return []
        self._away = False
        self._serial = max((one.serial for one in news), default=self._serial)
        return news
