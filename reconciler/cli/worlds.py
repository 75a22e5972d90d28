"""What the subcommands share that look at the repository and at hosts themselves."""

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import typer

from reconciler import process
from reconciler.app import open_world
from reconciler.cli.common import INTERRUPTED, chosen, err, warn
from reconciler.errors import SourceError
from reconciler.loop import Repository, Revision, World
from reconciler.loop.world import Tell, tell_nobody
from reconciler.model import HostName, Policy

T = TypeVar("T")


@contextlib.contextmanager
def opened(
    context: typer.Context,
    *,
    policy: Policy | None = None,
    tell: Tell = tell_nobody,
) -> Iterator[World]:
    """Open the world that the settings describe."""
    with open_world(chosen(context).settings(), policy=policy, tell=tell) as world:
        yield world


def look(world: World) -> tuple[Repository, Revision]:
    """Return the repository, newest commit read. Raises SourceError and more."""
    repository = Repository(world)
    with err.status("reading the repository"):
        repository.look()
    if repository.current is None:
        msg = repository.problem or "the repository has no commit"
        raise SourceError(msg)
    if repository.problem:
        warn(repository.problem)
    return repository, repository.current


def at_commit(world: World, ref: str) -> Revision:
    """Return what the commit *ref* declares. Raises SourceError and PermanentError."""
    with err.status("reading the repository"):
        try:
            world.mirror.fetch()
        except SourceError as error:
            warn(str(error))
        commit = world.mirror.resolve(ref)
        checkout = world.mirror.checkout(commit)
        world.overlays.lay(checkout)
        return Revision(
            commit=commit,
            checkout=checkout,
            hosts=world.evaluator.hosts(checkout),
            seen_at=world.now(),
        )


def for_each(
    world: World, hosts: list[HostName], act: Callable[[HostName], T]
) -> list[T]:
    """
    Run *act* for the hosts side by side, as many as the policy allows; in order.

    At Ctrl-C nothing new begins, what runs here is ended, and what runs on hosts is
    waited for; a second Ctrl-C does not even wait.
    """
    workers = max(1, min(len(hosts), world.settings.policy.parallel))
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(act, host) for host in hosts]
        try:
            return [future.result() for future in futures]
        except KeyboardInterrupt:
            _end(pool, futures)
            raise


def _end(pool: ThreadPoolExecutor, futures: list[Future[T]]) -> None:
    try:
        err.print("interrupted: waiting for what runs on hosts; Ctrl-C to leave it")
        pool.shutdown(wait=False, cancel_futures=True)
        process.kill_all()
        for future in futures:
            if not future.cancelled():
                future.exception()
    except KeyboardInterrupt:
        # The threads would be waited for at any other exit. History will tell of the
        # attempts as interrupted, and what was begun on a host goes on there.
        os._exit(INTERRUPTED)
