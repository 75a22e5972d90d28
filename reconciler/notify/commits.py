"""How far one commit has come on its hosts, as a mark for forges. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.messages import Mark, MarkState
from reconciler.model import CommitId, HostName, HostStatus, Verdict
from reconciler.notify.conditions import cut, has_arrived

NAMED = 5
"""Hosts that a text names; of the others it says how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """How far a commit has come on one host."""

    state: MarkState = MarkState.PENDING
    why: str = ""  # it failed, or waits; empty while it is on its way
    attempt: str = ""
    away: bool = False  # the host cannot be reached


def stand_of(status: HostStatus, problem: str, attempt: str) -> Stand:
    """
    Return how far the commit of *status* has come.

    *problem* is why it could not be evaluated for the host, if so.
    """
    pending, failure = MarkState.PENDING, MarkState.FAILURE
    verdict = status.verdict
    if problem or verdict is None:
        why = f"does not evaluate: {problem or status.error}"
        return Stand(state=failure, why=cut(why))
    # To a host without an address, or one that sleeps, nobody is to bring it.
    if has_arrived(status) or verdict in (Verdict.NO_ADDRESS, Verdict.SILENT):
        return Stand(state=MarkState.SUCCESS)
    if not status.reachable:
        return Stand(state=pending, why="is unreachable", away=True)
    if (failed := status.quarantine) is not None:
        return Stand(state=failure, why=cut(failed.reason), attempt=failed.attempt)
    if verdict is Verdict.BLOCKED or (verdict is Verdict.DEPLOY and status.error):
        return Stand(state=failure, why=cut(status.error), attempt=attempt)
    waits = {
        Verdict.HELD: "is held",
        Verdict.REPORTED: "is only looked at",
        Verdict.UNADOPTED: "waits for adoption",
    }
    return Stand(state=pending, why=waits.get(verdict, ""))


def mark_of(
    commit: CommitId, hosts: Sequence[HostName], stands: Mapping[HostName, Stand]
) -> Mark:
    """Return the mark of *commit*, which declares *hosts*, as far as they are known."""
    failed = _those(hosts, stands, MarkState.FAILURE)
    if failed:
        first = stands[failed[0]]
        text = f"{failed[0]}: {first.why}"
        if len(failed) > 1:
            text = f"{_named(failed)} failed; {text}"
        return Mark(
            commit=commit,
            state=MarkState.FAILURE,
            text=text,
            hosts=tuple(failed),
            attempt=first.attempt,
        )
    total = _counted(len(hosts))
    if len(_those(hosts, stands, MarkState.SUCCESS)) == len(hosts):
        return Mark(commit=commit, state=MarkState.SUCCESS, text=f"on {total}")
    waiting = [host for host in hosts if host in stands and stands[host].why]
    told = "; ".join(f"{host} {stands[host].why}" for host in waiting[:NAMED])
    text = f"on its way to {total}" + (f"; {told}" if told else "")
    return Mark(commit=commit, state=MarkState.PENDING, text=text, hosts=tuple(waiting))


def late_mark(
    commit: CommitId, hosts: Sequence[HostName], stands: Mapping[HostName, Stand]
) -> Mark | None:
    """Return the mark of *commit* if it waits too long for hosts that are away."""
    away = [host for host in hosts if host in stands and stands[host].away]
    if not away:
        return None
    done = len(_those(hosts, stands, MarkState.SUCCESS))
    text = f"{_named(away)} cannot be reached; on {done} of {_counted(len(hosts))}"
    return Mark(commit=commit, state=MarkState.ERROR, text=text, hosts=tuple(away))


def patient(
    before: Mark | None, mark: Mark, late: Mark | None, *, waited: float, now: float
) -> Mark:
    """
    Return *late* instead of *mark* if that has been told for *waited* seconds.

    Once it was told, it stays until no host is away any more.
    """
    if before is None or late is None or mark.state is not MarkState.PENDING:
        return mark
    if before.state is MarkState.ERROR:
        return late
    same = (before.state, before.hosts) == (mark.state, mark.hosts)
    return late if same and now - before.since >= waited else mark


def next_mark(before: Mark | None, now: Mark) -> Mark | None:
    """
    Return what is to be told after *before*; None if nothing is.

    A commit that every host has had keeps its success, and a failure stands until the
    hosts have the commit after all: looks at hosts that come between are no news.
    """
    if before is None:
        return now
    if before.state is MarkState.SUCCESS:
        return None
    unknown = (MarkState.PENDING, MarkState.ERROR)
    if before.state is MarkState.FAILURE and now.state in unknown:
        return None
    if before.state is MarkState.SUPERSEDED:
        return now
    same = (before.state, before.hosts) == (now.state, now.hosts)
    return None if same else now


def _those(
    hosts: Sequence[HostName], stands: Mapping[HostName, Stand], state: MarkState
) -> list[HostName]:
    return [host for host in hosts if host in stands and stands[host].state is state]


def _named(hosts: Sequence[HostName]) -> str:
    if len(hosts) <= NAMED:
        return ", ".join(hosts)
    return _counted(len(hosts))


def _counted(count: int) -> str:
    return "1 host" if count == 1 else f"{count} hosts"
