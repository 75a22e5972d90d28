"""The newest commit of the watched branch that could be read."""

from dataclasses import dataclass
from pathlib import Path

import structlog

from reconciler.errors import CommandError, PermanentError, SourceError
from reconciler.history.repository import AWAY, UNREADABLE, WELL, last_problem
from reconciler.loop.world import World
from reconciler.model import Commit, CommitId, HostName

log = structlog.get_logger(__name__)

RETRY_UNREADABLE = 3600.0
"""Seconds after which a commit that Nix could not read is tried once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One commit, checked out, with the hosts that it declares."""

    commit: Commit
    checkout: Path
    hosts: tuple[HostName, ...]
    seen_at: float
    overlay: str = ""  # fingerprint of the secrets that were laid over it
    first: bool = False  # the first one of this process: we did not see it arrive


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unreadable:
    """A commit of which Nix could not tell the hosts."""

    commit: CommitId
    overlay: str
    error: PermanentError
    at: float

    def holds(self, commit: Commit, overlay: str, now: float) -> bool:
        same = (self.commit, self.overlay) == (commit.id, overlay)
        return same and now < self.at + RETRY_UNREADABLE


class Repository:
    """
    Keeps the current revision; looks again when told to.

    A commit whose list of hosts Nix cannot evaluate does not replace the current
    revision: the hosts stay served with the last one that could be read, and `problem`
    says why. It is not evaluated again at each look: it may take long to fail.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._unreadable: _Unreadable | None = None
        self.current: Revision | None = None
        self.problem = ""

    def look(self) -> Revision | None:
        """
        Fetch; return the new revision if there is one, else None.

        Raises SourceError when the repository cannot be read (the current revision
        stays), and PermanentError when the new commit cannot.
        """
        commit = self._newest()
        try:
            revision = self._unless_current(commit)
        except (PermanentError, SourceError, CommandError) as error:
            self._note(UNREADABLE, f"commit {commit.short}: {error}")
            raise
        self._world.metrics.evaluation_works(None)
        if not self.problem:
            self._note(WELL, "")
        return revision

    def _newest(self) -> Commit:
        world = self._world
        try:
            commit = world.mirror.fetch()
        except SourceError as error:
            world.metrics.fetch_failed()
            self._note(AWAY, str(error))
            return self._mirrored(error)
        world.metrics.fetched(world.now())
        self.problem = ""
        return commit

    def _mirrored(self, error: SourceError) -> Commit:
        """Return what the mirror has: a restart while the repository is away."""
        if self.current is not None:
            raise error
        try:
            commit = self._world.mirror.resolve(self._world.settings.repository.branch)
        except SourceError:
            raise error from None
        log.warning("repository is away, serving the mirror", error=str(error))
        return commit

    def _unless_current(self, commit: Commit) -> Revision | None:
        overlay = self._world.overlays.fingerprint()
        current = self.current
        if current and (current.commit.id, current.overlay) == (commit.id, overlay):
            return None
        revision = self._read(commit, overlay)
        self._world.history.save_commit(commit)
        self._world.metrics.commit(commit)
        # Last, so that a look that fails half-way is made again.
        self.current = revision
        return revision

    def _read(self, commit: Commit, overlay: str) -> Revision:
        world, known = self._world, self._unreadable
        if known is not None and known.holds(commit, overlay, world.now()):
            raise known.error
        checkout = world.mirror.checkout(commit)
        world.overlays.lay(checkout)
        return Revision(
            commit=commit,
            checkout=checkout,
            hosts=self._hosts(commit, overlay, checkout),
            seen_at=world.now(),
            overlay=overlay,
            first=self.current is None,
        )

    def _hosts(
        self, commit: Commit, overlay: str, checkout: Path
    ) -> tuple[HostName, ...]:
        world = self._world
        try:
            return world.evaluator.hosts(checkout)
        except PermanentError as error:
            self._unreadable = _Unreadable(
                commit=commit.id, overlay=overlay, error=error, at=world.now()
            )
            world.metrics.evaluation_failed(None)
            raise

    def _note(self, kind: str, problem: str) -> None:
        """Remember how the repository is, and record it where that is news."""
        self.problem = problem
        self._world.notify.repository(problem)
        history = self._world.history
        if last_problem(history) != problem:
            history.event(now=self._world.now(), kind=kind, text=problem)
