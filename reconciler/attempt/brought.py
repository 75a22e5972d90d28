"""
What an attempt brought to its host: noted at its end, worked out thereafter.

At the end only what is known by then is written down, so that nothing is delayed. The
rest asks git, Nix, and a host for systems that only it has; over a connection apart,
since a question that takes too long is ended by cutting its connection.
"""

from dataclasses import replace

from reconciler.attempt.system_diff import difference
from reconciler.desired import from_json
from reconciler.errors import NoAddressError, ReconcilerError, StateError, StoppingError
from reconciler.history import History
from reconciler.model import (
    Attempt,
    Brought,
    BroughtCommit,
    Commit,
    CommitId,
    CommitRange,
    Desired,
    Observed,
    Outcome,
    SystemDiff,
)
from reconciler.notify.conditions import cut
from reconciler.plan import brought_told, restarts
from reconciler.remote import HostReader, Transport
from reconciler.source import Mirror
from reconciler.world import Common, World

COMMITS_KEPT = 100
"""Commits that are kept by name; of more, how many there are."""

_TOLD = (Outcome.SUCCEEDED, Outcome.ROLLED_BACK)


def note(
    world: Common,
    ended: Attempt,
    desired: Desired,
    *,
    before: Observed | None,
    after: Observed,
) -> bool:
    """
    Write down what is known when an attempt has ended; return whether more is to come.

    Of another system only: healing brings nothing. *before* and *after* are looks at
    the host. Raises StateError.
    """
    if ended.outcome not in _TOLD or ended.source in (None, ended.target):
        return False
    between = CommitRange(
        before=commit_before(world.history, ended),
        inputs=other_inputs(world.history, ended, desired),
    )
    found = Brought(
        range=between,
        restarts=restarts(after, desired.units, before=before, since=ended.began_at),
        pending=True,
    )
    world.history.brought.save(ended.id, found)
    return True


def commit_before(history: History, attempt: Attempt) -> CommitId | None:
    """
    Return the commit that a host was at before an attempt.

    What it was last in sync with, which counts commits that did not change its system;
    if it ran another system, as after a rollback by hand, the commit of that one.
    """
    declared = history.systems.confirmed(attempt.host)
    if declared is not None:
        try:
            if from_json(declared.desired).toplevel == attempt.source:
                return declared.commit
        except StateError:
            pass  # kept by a version that wrote it in another way
    source = attempt.source
    return history.commits_of(attempt.host).get(source) if source else None


def other_inputs(
    history: History, attempt: Attempt, desired: Desired
) -> tuple[str, ...]:
    """Return the inputs of no commit that were other ones for the system before."""
    declared = history.systems.confirmed(attempt.host)
    if declared is None:
        return ()
    try:
        before = from_json(declared.desired)
    except StateError:
        return ()  # kept by a version that wrote it in another way
    if before.toplevel != attempt.source:
        return ()
    return tuple(
        f"{name}: {before.outside[name]} → {now}"
        for name, now in sorted(desired.outside.items())
        if before.outside.get(name, now) != now
    )


def complete(
    world: World, attempt_id: str, connections: Transport, desired: Desired | None
) -> None:
    """
    Work out what an attempt brought, and keep it.

    *desired* tells where its host is. What cannot be told is said to be so. Raises
    StateError, UnknownAttemptError, StoppingError.
    """
    attempt = world.history.attempt(attempt_id)
    noted = world.history.brought.of(attempt_id) or Brought()
    between = replace(
        range_of(world.mirror, noted.range.before, attempt.commit),
        inputs=noted.range.inputs,
    )
    packages, problem = _packages(attempt, _reader(connections, desired))
    found = Brought(
        range=between, restarts=noted.restarts, packages=packages, problem=problem
    )
    world.history.brought.save(attempt_id, found, told=cut(brought_told(found)))


def range_of(mirror: Mirror, before: CommitId | None, after: CommitId) -> CommitRange:
    """Return the commits between two. Raises StoppingError."""
    if before is None or not after:
        problem = "what the host ran before is of no commit that is known here"
        return CommitRange(problem=problem)
    try:
        came, count = mirror.between(before, after, limit=COMMITS_KEPT)
        went, undone = mirror.between(after, before, limit=COMMITS_KEPT)
    except StoppingError:
        raise
    except ReconcilerError as error:
        return CommitRange(before=before, problem=str(error))
    return CommitRange(
        before=before,
        commits=tuple(map(_named, came)),
        count=count,
        undone=tuple(map(_named, went)),
        undone_count=undone,
    )


def _named(commit: Commit) -> BroughtCommit:
    return BroughtCommit(id=commit.id, subject=commit.subject, author=commit.author)


def _reader(connections: Transport, desired: Desired | None) -> HostReader | None:
    if desired is None:
        return None
    try:
        return connections.reader(desired.host, desired.target)
    except NoAddressError:
        return None


def _packages(
    attempt: Attempt, reader: HostReader | None
) -> tuple[SystemDiff | None, str]:
    """Return what differs, or why that cannot be told. Raises StoppingError."""
    if attempt.source is None:
        return None, ""
    try:
        return difference(attempt.source, attempt.target, reader, built=True), ""
    except StoppingError:
        raise
    except ReconcilerError as error:
        return None, str(error)
