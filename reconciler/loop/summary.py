"""One short line that says how the whole daemon is."""

from reconciler.errors import StateError
from reconciler.revisions.repository import Repository, Revision
from reconciler.world import World


def summary(world: World, repository: Repository) -> str:
    """
    Return the commit, the hosts that are in sync with it, and the attempts under way.

    Asks the database, and says so if that cannot be read.
    """
    revision = repository.current
    if revision is None:
        return f"waiting for a commit: {repository.problem or 'none was read yet'}"
    try:
        told = f"commit {revision.commit.short}, {_hosts(world, revision)}"
        if running := len(world.history.unfinished()):
            told += f", {running} attempt{'s' * (running > 1)} running"
    except StateError as error:
        return f"history cannot be read: {error}"
    return f"{told}; {repository.problem}" if repository.problem else told


def _hosts(world: World, revision: Revision) -> str:
    synced = sum(
        status.in_sync and status.commit == revision.commit.id
        for status in world.history.statuses()
        if status.host in revision.hosts
    )
    return f"{synced} of {len(revision.hosts)} hosts in sync"
