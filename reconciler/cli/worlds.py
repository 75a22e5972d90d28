"""What the subcommands share that look at the repository and at hosts themselves."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import typer

from reconciler import process
from reconciler.app import for_proposals, open_world
from reconciler.cli.common import INTERRUPTED, actor, chosen, err, waiting, warn
from reconciler.errors import ReconcilerError, SourceError, StoppingError
from reconciler.loop import Orders
from reconciler.model import Desired, HostName, Mode
from reconciler.model.selection import needs_tags, select
from reconciler.remote import DeploysItselfError
from reconciler.revisions import Evaluations, Repository, Revision, last_address
from reconciler.revisions.repository import WithheldError
from reconciler.revisions.trust import UntrustedError, is_trusted
from reconciler.source import notes_of
from reconciler.world import Tell, World, policy_of, tell_nobody

T = TypeVar("T")


@contextlib.contextmanager
def opened(
    context: typer.Context, *, asked: bool = False, tell: Tell = tell_nobody
) -> Iterator[World]:
    """
    Open the world that the settings describe.

    What a person *asked* for is done also where the policy only reports.
    """
    settings = chosen(context).settings()
    policy = None
    if asked:
        policy = replace(
            policy_of(settings, unset=Mode.AUTO), mode=Mode.AUTO, heal=True
        )
    with open_world(settings, policy=policy, tell=tell) as world:
        yield world


def look(world: World) -> tuple[Repository, Revision]:
    """
    Return the repository, newest commit read. Raises SourceError and more.

    Where that one may not count, and another did before, it is that one which counts,
    as to the daemon: ``passed_over`` tells.
    """
    repository = Repository(world, tells=False)
    with waiting("reading the repository"):
        try:
            repository.look()
        except (UntrustedError, WithheldError):
            if repository.current is None:
                raise
    if repository.current is None:
        msg = repository.problem or "the repository has no commit"
        raise SourceError(msg)
    if repository.problem:
        warn(_served(repository.problem, repository))
    _warn_of_checkout(repository.current)
    return repository, repository.current


def _served(problem: str, repository: Repository) -> str:
    """Return a *problem*, and which commit counts meanwhile."""
    current, passed_over = repository.current, repository.passed_over
    if passed_over is None or current is None:
        return problem
    return f"{problem}; what follows is about commit {current.commit.short}"


def hosts_meant(
    world: World, revision: Revision, words: Sequence[str] | None
) -> list[HostName]:
    """
    Return the hosts that a person named, all if none; see `select`.

    Tags are what the commit says, so each host is evaluated where they matter. Raises
    UnknownHostError and EmptySelectionError.
    """
    names, words = list(revision.hosts), words or ()
    if not needs_tags(words):
        return select(words, dict.fromkeys(names, ()))
    with waiting("reading the tags of hosts"):
        return select(words, tags_of(world, revision))


def hosts_reached(
    world: World, revision: Revision, words: Sequence[str] | None
) -> list[HostName]:
    """
    Return the hosts that a person named, without those that deploy themselves.

    Raises as `hosts_meant`, and DeploysItselfError for such a host that is named by
    itself, or where no other is left.
    """
    names = hosts_meant(world, revision, words)
    left = [name for name in names if not world.live.pulls(name)]
    out = [name for name in names if world.live.pulls(name)]
    named = [name for name in out if name in (words or ())]
    if named or (out and not left):
        raise DeploysItselfError((named or out)[0])
    if out:
        warn(f"left out, since they deploy themselves: {', '.join(out)}")
    return left


def tags_of(world: World, revision: Revision) -> dict[HostName, tuple[str, ...]]:
    """Return the tags of every host; of one that does not evaluate, its last ones."""
    evaluations = Evaluations(world)
    reported = {one.host: one.tags for one in world.history.statuses()}

    def one(host: HostName) -> tuple[str, ...]:
        if world.live.pulls(host):
            return reported.get(host, ())
        try:
            return evaluations.desired(revision, host).tags
        except StoppingError:
            raise
        except ReconcilerError as error:
            warn(f"{host}: its tags may be others by now: {error}")
        last = evaluations.last_good(host)
        return last.desired.tags if last else ()

    names = list(revision.hosts)
    return dict(zip(names, for_each(world, names, one), strict=True))


def at_commit(world: World, ref: str) -> tuple[World, Revision]:
    """
    Return what the commit *ref* declares, and the world to look at it in.

    One that is not on the watched branch gets a world without secrets. Raises
    SourceError and PermanentError.
    """
    with waiting("reading the repository"):
        try:
            world.mirror.fetch()
        except SourceError as error:
            warn(str(error))
        commit = world.mirror.resolve(ref)
        if not is_trusted(world, commit):
            where = world.settings.repository.followed
            why = f"is not on {where}"
            if world.mirror.is_merged(commit):
                why = f"is on {where} and does not count yet"
            warn(f"{commit.short} {why}: its keys are not looked at")
            world = for_proposals(world)
        with world.mirror.held(commit) as checkout:
            world.overlays.lay(checkout)
            revision = Revision(
                commit=commit,
                checkout=checkout,
                hosts=world.evaluator.hosts(checkout),
                seen_at=world.now(),
                aside=True,
                notes=notes_of(checkout),
            )
    _warn_of_checkout(revision)
    return world, revision


def _warn_of_checkout(revision: Revision) -> None:
    for note in revision.notes:
        warn(f"commit {revision.commit.short}: {note}")


def warn_of(desired: Desired | None) -> None:
    """Show what the configuration of a host warns of."""
    if desired is not None:
        for text in desired.warnings:
            warn(f"{desired.host}: {text}")


def note_order(
    world: World, kind: str, hosts: Sequence[HostName], reason: str, text: str = ""
) -> None:
    """Write into the audit log that a person does *kind* on these hosts."""
    told = "; ".join(filter(None, (text, reason.strip())))
    for host in hosts:
        world.history.event(
            now=world.now(), kind=kind, host=host, actor=actor(), text=told
        )


def adopt(world: World, hosts: Sequence[HostName], reason: str) -> list[HostName]:
    """Have *hosts* given to us by a person; return those that were not yet."""
    orders = Orders(history=world.history, now=world.now(), actor=actor())
    return orders.adopt(hosts, reason=reason.strip())


def for_each(
    world: World, hosts: list[HostName], act: Callable[[HostName], T]
) -> list[T]:
    """
    Run *act* for the hosts side by side, as many as the policy allows; in order.

    At Ctrl-C nothing new begins, what runs here is ended, and what runs on hosts is
    waited for; a second Ctrl-C does not even wait.
    """
    workers = max(1, min(len(hosts), world.settings.policy.parallel))
    pool = ThreadPoolExecutor(workers)
    try:
        # Inside: Ctrl-C may come while the first host is worked on and the last is not.
        futures = [pool.submit(act, host) for host in hosts]
        return [future.result() for future in futures]
    except KeyboardInterrupt:
        _end(pool)
        raise
    finally:
        pool.shutdown()


def _end(pool: ThreadPoolExecutor) -> None:
    # Not by KeyboardInterrupt, which is lost where it strikes a callback: the threads
    # would then be waited for. History will tell of the attempts as interrupted, and
    # what was begun on a host goes on there.
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    with contextlib.suppress(OSError):  # the terminal may be closed
        err.print("interrupted: waiting for what runs on hosts; Ctrl-C to leave it")
    pool.shutdown(wait=False, cancel_futures=True)
    process.kill_all()
    pool.shutdown()


def last_known(world: World, name: str) -> Desired:
    """
    Return what was last known of a host, with what the settings say of its address.

    The repository is asked only about a host that was never evaluated. Raises
    UnknownHostError, SourceError, EvaluationError.
    """
    return last_address.last_known(
        world, Evaluations(world), HostName(name), lambda: look(world)[1]
    )
