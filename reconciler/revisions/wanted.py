"""
What a host is aimed at: the newest commit, or what it falls back on.

A host that the newest commit does not evaluate for is kept as the last good one says. A
host whose new system is in quarantine runs the one before, and that is to be kept
whole: a reboot takes its keys away, and somebody may stop its services. Either way the
contents of keys come from the commit that declares them, not from the newest.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from reconciler.desired import from_json, to_json
from reconciler.errors import (
    PermanentError,
    ReconcilerError,
    StateError,
    StoppingError,
    TemporaryError,
)
from reconciler.history import Declared
from reconciler.model import CommitId, Desired, HostName, StorePath
from reconciler.plan import services_of
from reconciler.revisions.evaluations import Evaluations
from reconciler.revisions.repository import Revision
from reconciler.world import CommitWorld

log = structlog.get_logger(__name__)


Later = Callable[[HostName], None]


class NotYetError(TemporaryError):
    """No commit was evaluated for a host yet."""

    def __init__(self, host: HostName) -> None:
        super().__init__(f"{host} has yet to be evaluated")


class UnknownSystemError(PermanentError):
    """No commit is known that declares a system, and so no key of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to aim at, and why it is not what the newest commit says if it is not."""

    desired: Desired
    commit: CommitId  # that says so
    checkout: Path  # where the contents of keys come from
    problem: ReconcilerError | None = None
    stale: bool = False  # a newer commit has yet to be evaluated for the host


def wanted_of(
    world: CommitWorld,
    evaluations: Evaluations,
    revision: Revision,
    host: HostName,
    held: ExitStack,
    *,
    later: Later | None = None,
) -> Wanted:
    """
    Return what *host* should be, by the last commit that Nix could evaluate for it.

    Checkouts stay until *held* is closed, however many commits arrive meanwhile. With
    *later*, which has a host evaluated and looked at again, nothing is evaluated here.
    Raises what evaluation raises where there is no such commit, StoppingError, and
    NotYetError where there is none before one that was left for later.
    """
    held.enter_context(world.mirror.held(revision.commit))
    if later is not None and not evaluations.is_known(revision, host):
        later(host)
        return _meanwhile(world, evaluations, host, held)
    try:
        desired = evaluations.desired(revision, host)
    except StoppingError:
        raise
    except ReconcilerError as error:
        good = evaluations.last_good(host)
        if good is None:
            raise
        try:
            checkout = checkout_of(world, good.commit, held)
        except StoppingError:
            raise
        except ReconcilerError as lost:
            # A rewritten branch, say. Services can be kept up all the same, and those
            # keys that do not come from the repository.
            log.warning("cannot check out", commit=good.commit, error=str(lost))
            checkout = revision.checkout
        return Wanted(
            desired=good.desired, commit=good.commit, checkout=checkout, problem=error
        )
    return Wanted(
        desired=desired, commit=revision.commit.id, checkout=revision.checkout
    )


def _meanwhile(
    world: CommitWorld, evaluations: Evaluations, host: HostName, held: ExitStack
) -> Wanted:
    """Return what *host* is to be kept as until it was evaluated."""
    good = evaluations.last_good(host)
    if good is None:
        raise NotYetError(host)
    try:
        checkout = checkout_of(world, good.commit, held)
    except StoppingError:
        raise
    except ReconcilerError as error:
        raise NotYetError(host) from error
    return Wanted(
        desired=good.desired, commit=good.commit, checkout=checkout, stale=True
    )


def remember(world: CommitWorld, wanted: Wanted) -> None:
    """Record that a host is in sync with *wanted*."""
    host, desired = wanted.desired.host, wanted.desired
    declared = Declared(commit=wanted.commit, desired=to_json(desired))
    world.history.systems.save_confirmed(
        host, declared, services_of(desired), now=world.now()
    )


def recall(world: CommitWorld, host: HostName, held: ExitStack) -> Wanted | None:
    """
    Return what *host* was last in sync with, its commit checked out until *held* ends.

    None where nothing is known, or the commit cannot be had any more.
    """
    declared = world.history.systems.confirmed(host)
    if declared is None:
        return None
    try:
        desired = from_json(declared.desired)
    except StateError:
        return None  # kept by a version that wrote it in another way
    commit = declared.commit
    try:
        checkout = checkout_of(world, commit, held)
    except StoppingError:
        raise
    except ReconcilerError as error:
        log.warning("cannot keep the former system whole", host=host, error=str(error))
        return None
    return Wanted(desired=desired, commit=commit, checkout=checkout)


def declaring(
    world: CommitWorld, host: HostName, system: StorePath, held: ExitStack
) -> Wanted:
    """
    Return what was declared with a *system*, by the commit that last brought it.

    Its checkout stays until *held* is closed. Raises UnknownSystemError, SourceError,
    StateError, EvaluationError.
    """
    former = recall(world, host, held)
    if former is not None and former.desired.toplevel == system:
        return former
    name = world.history.commits_of(host).get(system)
    if name is None:
        message = (
            f"{host}: no commit that we know of declares {system}, so that nothing says"
            " which keys it needs"
        )
        raise UnknownSystemError(message)
    commit = world.mirror.resolve(name)
    checkout = checkout_of(world, commit.id, held)
    desired = _remembered(world, host, world.evaluator.identity(commit, checkout))
    if desired is None:
        world.tell(host, "evaluating")
        # Not by Evaluations: it is not the last good state of the host.
        desired = world.evaluator.evaluate(checkout, host)
    if desired.toplevel != system:
        message = (
            f"{host}: commit {commit.short}, which declared {system}, now evaluates to"
            " another system, so that nothing says which keys it needs"
        )
        raise UnknownSystemError(message)
    return Wanted(desired=desired, commit=commit.id, checkout=checkout)


def _remembered(world: CommitWorld, host: HostName, what: str) -> Desired | None:
    text = world.history.evaluation(world.evaluator.cache_key(what, host))
    try:
        return from_json(text) if text else None
    except StateError:
        return None  # kept by a version that wrote it in another way


def checkout_of(world: CommitWorld, commit: CommitId, held: ExitStack) -> Path:
    """
    Return the checkout of an older *commit*, with our secrets laid over it.

    It stays until *held* is closed. Raises SourceError, StateError.
    """
    checkout = held.enter_context(world.mirror.held(world.mirror.resolve(commit)))
    world.overlays.lay(checkout)
    return checkout
