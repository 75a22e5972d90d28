"""
How far a commit has come: on which hosts it runs, where not yet, and why (pure).

A host that was brought to a later commit which has this one in it runs it, too: whoever
waits for what he pushed need not mind that somebody pushed after him.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.model import CommitId, HostName, HostStatus, Verdict


class Standing(enum.Enum):
    """How far a commit has come on one host, the worst first."""

    FAILED = "failed"  # it does not evaluate, was rolled back, or is in quarantine
    ASKED = "asked"  # a person has to say something first
    WAITING = "waiting"  # it is under way, or the host is away
    ARRIVED = "arrived"  # the host runs it, and all is well


@dataclass(frozen=True, slots=True, kw_only=True)
class HostArrival:
    """How far a commit has come on one host."""

    host: HostName
    standing: Standing
    why: str = ""  # for people; empty where nothing is to be said


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How far a commit has come."""

    commit: CommitId
    hosts: tuple[HostArrival, ...] = ()
    refused: Standing | None = None  # the commit itself does not count: FAILED, ASKED
    why: str = ""  # it does not

    @property
    def standing(self) -> Standing:
        """
        The standing of the whole.

        Waiting while a host is under way, since the others go on all the same; then the
        worst.
        """
        if self.refused is not None:
            return self.refused
        found = {one.standing for one in self.hosts}
        order = (Standing.WAITING, Standing.FAILED, Standing.ASKED)
        return next((one for one in order if one in found), Standing.ARRIVED)


Contains = Callable[[CommitId], bool]
"""Says whether a commit is the one waited for, or has it in it."""

_ASKS = {
    Verdict.HELD: "is held",
    Verdict.REPORTED: "is only reported: `reconciler apply` brings it",
}

_ENDED = {
    Verdict.HELD: "was released",
    Verdict.QUARANTINED: "is to be tried again",
}
"""Verdicts of the last look, of which the reason is gone meanwhile."""


def arrival(
    commit: CommitId,
    hosts: Sequence[HostName],
    statuses: Mapping[HostName, HostStatus],
    *,
    contains: Contains,
    problems: Mapping[HostName, str],
) -> Arrival:
    """
    Return how far *commit* has come on *hosts*.

    *problems* tell of hosts for which the newest commit does not evaluate. A host
    without an address is nobody's to bring it to, and left out; so is one that deploys
    itself and says nothing, which may sleep for weeks.
    """
    found = [
        _of_host(name, statuses.get(name), contains, problems.get(name, ""))
        for name in sorted(hosts)
    ]
    return Arrival(commit=commit, hosts=tuple(one for one in found if one))


def _of_host(
    host: HostName, status: HostStatus | None, contains: Contains, problem: str
) -> HostArrival | None:
    if status is not None and status.is_silent:
        return None
    if status is None or not contains(status.commit):
        why = "was not looked at yet"
        return HostArrival(host=host, standing=Standing.WAITING, why=why)
    if status.verdict is Verdict.NO_ADDRESS:
        return None
    standing, why = _judge(status, problem)
    return HostArrival(host=host, standing=standing, why=why)


def _judge(status: HostStatus, problem: str) -> tuple[Standing, str]:
    """Return the standing of a host that was looked at since, and why."""
    if problem or status.verdict is None:
        return Standing.FAILED, f"does not evaluate: {problem or status.error}"
    if status.is_away:
        return Standing.WAITING, f"is unreachable: {status.error}"
    if status.in_sync:
        return Standing.ARRIVED, ""
    if status.quarantine is not None:
        return Standing.FAILED, status.quarantine.reason
    return _open(status, status.verdict)


def _open(status: HostStatus, verdict: Verdict) -> tuple[Standing, str]:
    """Return the standing of a host on which something is left to do."""
    if verdict in _ENDED and status.hold is None:  # quarantines were looked at before
        return Standing.WAITING, _ENDED[verdict]
    if verdict in _ASKS:
        return Standing.ASKED, _ASKS[verdict]
    if verdict in (Verdict.BLOCKED, Verdict.UNADOPTED):
        return Standing.ASKED, status.error
    if status.error:
        return Standing.FAILED, status.error
    kinds = ", ".join(sorted({d.kind.value for d in status.drifts if d.is_open}))
    return Standing.WAITING, kinds


def arrival_as_dict(found: Arrival) -> dict[str, object]:
    """Return *found* for ``--json`` and the API. The keys stay; new ones may come."""
    return {
        "commit": found.commit,
        "standing": found.standing.value,
        "why": found.why,
        "hosts": [
            {"host": one.host, "standing": one.standing.value, "why": one.why}
            for one in found.hosts
        ],
    }
