"""How far a commit has come: for people and programs that wait for it."""

import functools
from collections.abc import Sequence

from reconciler.model import CommitId
from reconciler.model.selection import select
from reconciler.plan import Arrival, Standing, arrival
from reconciler.revisions.evaluations import Evaluations
from reconciler.revisions.repository import Repository
from reconciler.world import World


class Arrivals:
    """Tells of commits by what the last looks at hosts found; asks no host."""

    def __init__(
        self, world: World, repository: Repository, evaluations: Evaluations
    ) -> None:
        self._world = world
        self._repository = repository
        self._evaluations = evaluations

    def of(self, ref: str, hosts: Sequence[str] = ()) -> Arrival:
        """
        Return how far the commit *ref* has come on *hosts*, or on all; see `select`.

        Raises UnknownCommitError, UnknownHostError, EmptySelectionError, SourceError
        and its kin.
        """
        mirror, repository = self._world.mirror, self._repository
        commit = mirror.resolve(ref).id
        asked, current = repository.withheld, repository.current
        if asked is not None and mirror.contains(asked.id, commit):
            why = repository.problem or "it waits for an approval"
            return Arrival(commit=commit, refused=Standing.ASKED, why=why)
        if current is None or not mirror.contains(current.commit.id, commit):
            return self._not_counting(commit)
        statuses = {
            status.host: status
            for status in self._world.history.statuses(now=self._world.now())
        }
        known = {
            host: statuses[host].tags if host in statuses else ()
            for host in current.hosts
        }
        return arrival(
            commit,
            select(hosts, known),
            statuses,
            contains=functools.cache(lambda newer: mirror.contains(newer, commit)),
            problems={
                host: self._evaluations.problem(host, current.commit.id)
                for host in current.hosts
            },
        )

    def _not_counting(self, commit: CommitId) -> Arrival:
        """Tell of a commit that hosts are not brought to: not yet, or not at all."""
        if problem := self._repository.problem:
            return Arrival(commit=commit, refused=Standing.FAILED, why=problem)
        why = "hosts are brought to a commit that does not have it in it"
        return Arrival(commit=commit, refused=Standing.WAITING, why=why)
