"""Which times from a commit to a host in sync are what its deployment took."""

from reconciler.model import Attempt, CommitId, HostName, Outcome, Plan, Verdict
from reconciler.revisions.repository import Revision

_PUT_OFF = (
    Verdict.HELD,
    Verdict.QUARANTINED,
    Verdict.BLOCKED,
    Verdict.UNADOPTED,
    Verdict.REPORTED,
)


class LeadTimes:
    """
    Remembers what became of the newest commit on each host; a host is in one pass.

    No lead time is that of a host which the commit did not change, nor of one of which
    somebody or something said for a while that it be left alone.
    """

    def __init__(self) -> None:
        self._deployed: dict[HostName, CommitId] = {}
        self._put_off: dict[HostName, CommitId] = {}

    def planned(self, plan: Plan, commit: CommitId) -> None:
        """Hear what was decided about a host that is to be brought to *commit*."""
        if plan.verdict in _PUT_OFF:
            self._put_off[plan.host] = commit

    def ended(self, attempt: Attempt) -> None:
        """Hear how an attempt ended."""
        by_commit = attempt.verdict is Verdict.DEPLOY
        if by_commit and attempt.outcome is Outcome.SUCCEEDED:
            self._deployed[attempt.host] = attempt.commit

    def counts(self, revision: Revision, host: HostName) -> bool:
        """Return whether *host*, in sync just now, was deployed to without a pause."""
        commit = revision.commit.id
        if revision.first or self._put_off.get(host) == commit:
            return False
        return self._deployed.get(host) == commit

    def forget(self, host: HostName) -> None:
        """Forget a host that left the repository."""
        self._deployed.pop(host, None)
        self._put_off.pop(host, None)
