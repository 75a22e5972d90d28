"""Record how hosts stand after each pass, and tell those who want to know."""

from collections.abc import Callable
from dataclasses import replace

from reconciler.errors import NoAddressError, ReconcilerError
from reconciler.loop import status as statuses
from reconciler.loop.results import Done, Failed, Result
from reconciler.loop.status_log import log_change
from reconciler.model import (
    CommitId,
    Desired,
    HostName,
    HostStatus,
    Observed,
    Plan,
    Received,
    Verdict,
)
from reconciler.plan import unaddressed, unreachable
from reconciler.reports import ReportError, decode
from reconciler.revisions.evaluations import Evaluations
from reconciler.revisions.repository import Repository, Revision
from reconciler.revisions.wanted import Wanted
from reconciler.world import World


def _nobody() -> None:
    """Hear that something was recorded."""


_ACTING = (Verdict.DEPLOY, Verdict.HEAL)


class Standings:
    """How each host stood when it was last looked at."""

    def __init__(
        self, world: World, repository: Repository, evaluations: Evaluations
    ) -> None:
        self._world = world
        self._repository = repository
        self._evaluations = evaluations
        self._last: dict[HostName, HostStatus] = {}
        self._heard: Callable[[], None] = _nobody

    def forget(self, host: HostName) -> None:
        """Forget a host that left the repository."""
        self._last.pop(host, None)

    def seen(
        self,
        revision: Revision,
        wanted: Wanted,
        observed: Observed,
        plan: Plan,
        error: ReconcilerError | None,
    ) -> None:
        """Record a host that answered."""
        status = statuses.seen(
            commit=wanted.commit if wanted.stale else revision.commit.id,
            desired=wanted.desired,
            observed=observed,
            plan=plan,
            before=self._before(plan.host),
            now=self._world.now(),
        )
        self._save(status, str(error) if error else self._standing_error(plan))

    def blind(
        self, revision: Revision, host: HostName, error: ReconcilerError
    ) -> Result:
        """Record a host of which no commit says what it should be."""
        status = statuses.unseen(
            host=host,
            commit=revision.commit.id,
            desired=None,
            plan=None,
            before=self._before(host),
            now=self._world.now(),
        )
        self._save(status, str(error))
        return Failed(error)

    def unaddressed(
        self, revision: Revision, desired: Desired, error: NoAddressError
    ) -> Result:
        """Say that nobody looks at this host, which is as it should be."""
        status = statuses.unseen(
            host=desired.host,
            commit=revision.commit.id,
            desired=desired,
            plan=unaddressed(desired.host, desired.toplevel, str(error)),
            before=None,
            now=self._world.now(),
        )
        self._save(status, "")
        return Done()

    def told(self, revision: Revision, host: HostName) -> Result:
        """Record what a host that deploys itself has reported last, if that counts."""
        status = statuses.told(
            host=host,
            commit=revision.commit.id,
            received=self._received(host),
            before=self._before(host),
            now=self._world.now(),
        )
        self._save(status, status.error)
        return Done()

    def _received(self, host: HostName) -> Received | None:
        kept = self._world.history.reports.last(host)
        if kept is None:
            return None
        try:
            _, report = decode(kept.text.encode())
        except ReportError:
            return None  # kept by a version that read it in another way
        return Received(report=report, at=kept.at)

    def unreachable(
        self, revision: Revision, desired: Desired, error: ReconcilerError
    ) -> Result:
        """Record a host that did not answer, and drop the connection to it."""
        self._world.connections.reconnect(desired.host)
        status = statuses.unseen(
            host=desired.host,
            commit=revision.commit.id,
            desired=desired,
            plan=unreachable(desired.host, desired.toplevel, str(error)),
            before=self._before(desired.host),
            now=self._world.now(),
        )
        self._save(status, str(error))
        return Failed(error)

    def _standing_error(self, plan: Plan) -> str:
        """Return why the last attempt failed, while what it should close is open."""
        before = self._last.get(plan.host)
        if before is None or not plan.steps or before.verdict not in _ACTING:
            return plan.reason
        return before.error

    def _before(self, host: HostName) -> HostStatus | None:
        if host not in self._last:
            self._last.update({s.host: s for s in self._world.history.statuses()})
        return self._last.get(host)

    def _save(self, status: HostStatus, error: str) -> None:
        revision = self._repository.current
        if revision is None or status.host not in revision.hosts:
            return  # it left the repository while we looked; leave no trace of it
        hold, failed = self._world.orders(status.host, status.target)
        status = replace(status, error=error, hold=hold, quarantine=failed)
        before = self._last.get(status.host)
        self._last[status.host] = status
        self._world.history.save_status(status)
        self._show(status, before)
        self._world.notify.host(status, self._evaluations.problem(status.host))
        log_change(before, status)
        self._heard()

    def hear(self, heard: Callable[[], None]) -> None:
        """Have *heard* called whenever something was recorded."""
        self._heard = heard

    def _show(self, status: HostStatus, before: HostStatus | None) -> None:
        """Have metrics show *status*; nothing of a host that nobody looks at."""
        host, metrics = status.host, self._world.metrics
        if status.verdict is Verdict.NO_ADDRESS:
            metrics.host_gone(host)
            return
        if before is not None and before.verdict is Verdict.NO_ADDRESS:
            metrics.host_known(host)  # the settings say where it is, and no commit came
        metrics.host_status(status, self.aimed_at(status))

    def aimed_at(self, status: HostStatus) -> CommitId | None:
        """Return the commit that a host was aimed at last, when it had *status*."""
        if status.deploys_itself:
            return status.commit
        good = self._evaluations.last_good(status.host)
        return good.commit if good else None
