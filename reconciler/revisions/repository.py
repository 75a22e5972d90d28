"""The newest commit of the watched branch that could be read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from reconciler.errors import (
    CommandError,
    PermanentError,
    ReconcilerError,
    SourceError,
)
from reconciler.history import approval_of_commit
from reconciler.history.repository import (
    AWAY,
    FALLBACK,
    UNREADABLE,
    UNTRUSTED,
    WELL,
    WITHHELD,
)
from reconciler.model import Commit, CommitId, Evaluated, HostName
from reconciler.notify import Notify
from reconciler.plan import hosts_gone, told_gone
from reconciler.revisions.trust import UntrustedError, require_trust
from reconciler.source import notes_of
from reconciler.world import CommitWorld

log = structlog.get_logger(__name__)

RETRY_UNREADABLE = 3600.0
"""Seconds after which a commit that Nix could not read is tried once more."""

TOLD_AFTER = 60.0
"""Seconds that a repository is away before people are told: many a forge restarts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One commit, checked out, with the hosts that it declares."""

    commit: Commit
    checkout: Path
    hosts: tuple[HostName, ...]
    seen_at: float
    overlay: str = ""  # fingerprint of the secrets that were laid over it
    first: bool = False  # the first one of this process: we did not see it arrive
    aside: bool = False  # somebody asks about it; hosts are not brought to it
    notes: tuple[str, ...] = ()  # of the checkout, for people


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unreadable:
    """A commit of which Nix could not tell the hosts."""

    commit: CommitId
    overlay: str
    error: PermanentError
    at: float  # on World.monotonic

    def holds(self, commit: Commit, overlay: str, now: float) -> bool:
        same = (self.commit, self.overlay) == (commit.id, overlay)
        return same and now < self.at + RETRY_UNREADABLE


class WithheldError(PermanentError):
    """A commit takes away more hosts than may go unasked."""

    def __init__(self, commit: Commit, *, gone: tuple[HostName, ...], of: int) -> None:
        self.gone = gone
        self.told = told_gone(gone, of)
        super().__init__(
            f"{self.told}; until somebody lets it pass, the commit before it counts:"
            f" reconciler approve {commit.short}"
        )


class Repository:
    """
    Keeps the current revision; looks again when told to.

    A commit whose list of hosts Nix cannot evaluate does not replace the current
    revision: the hosts stay served with the last one that was taken over, and `problem`
    says why. It is not evaluated again at each look: it may take long to fail. Nor does
    one that takes away too many hosts, until a person approves it, nor, ever, one that
    is not signed as the settings ask.

    How it is, people are told by the daemon alone: that somebody who only looks has a
    login that fails is nobody else's news. *tells* is whether it is the daemon.

    Of several workers one *leads* and decides which commit counts; others take that.
    """

    def __init__(
        self,
        world: CommitWorld,
        *,
        tells: bool = True,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._world = world
        self._tells = tells
        self._leads = leads
        self._unreadable: _Unreadable | None = None
        self._withheld: Revision | None = None
        self._away_since: float | None = None  # on World.monotonic
        self.current: Revision | None = None
        self.withheld: Commit | None = None  # it waits for a person
        self.passed_over: Commit | None = None  # the newest one, if it does not count
        self.problem = ""

    def look(self) -> Revision | None:
        """
        Fetch; return the new revision if there is one, else None.

        Raises SourceError when the repository cannot be read (the current revision
        stays), and PermanentError when the new commit cannot.
        """
        self.passed_over = None
        if not self._leads():
            return self._follow()
        commit = self._newest()
        try:
            revision = self._unless_current(commit)
        except WithheldError as error:
            self._withhold(commit, error)
            self._pass_over(commit)
            raise
        except UntrustedError as error:
            self._distrust(commit, error)
            self._pass_over(commit)
            raise
        except (PermanentError, SourceError, CommandError) as error:
            self._refuse(commit, error)
            self._pass_over(commit)
            raise
        self._world.metrics.evaluation_works(None)
        self._wait_for(None)
        self._tell(lambda people: people.withheld(None))
        if not self.problem:
            self._away_since = None
            self._note_well()
            self._tell(lambda people: people.repository(""))
        return revision

    def _follow(self) -> Revision | None:
        """
        Take over what whoever leads has, which has been judged; return it if it is new.

        It is the same wherever it is read: its id is a digest of it.
        """
        world = self._world
        commit, overlay = world.history.last_commit(), world.overlays.fingerprint()
        if commit is None:
            self.problem = "no worker has read a commit yet"
            return None
        current = self.current
        if current and (current.commit.id, current.overlay) == (commit.id, overlay):
            return None
        world.mirror.fetch()
        if not world.mirror.has(commit.id):
            world.mirror.resolve(commit.id)
        revision = self._read(commit, overlay)
        world.metrics.fetched(world.now())
        world.metrics.commit(revision.commit)
        self.problem, self.current = "", revision
        return revision

    def _note_well(self) -> None:
        """Say that all is well, or which other repository was read."""
        fallback = self._world.mirror.fallback
        self._note(FALLBACK if fallback else WELL, fallback)
        self.problem = ""  # what was read counts, wherever it came from

    def _withhold(self, commit: Commit, error: WithheldError) -> None:
        """Say that *commit* waits for a person."""
        away = self.problem
        self._wait_for(commit)
        self._note(WITHHELD, f"commit {commit.short}: {error}")
        if not away:
            self._tell(lambda people: people.repository(""))
        self._tell(lambda people: people.withheld(commit, error.told, error.gone))

    def _distrust(self, commit: Commit, error: UntrustedError) -> None:
        """Say that *commit* may not count, whoever approves it."""
        away = self.problem
        self._wait_for(None)
        self._world.metrics.commit_untrusted(untrusted=True)
        self._note(UNTRUSTED, str(error))
        if not away:
            self._tell(lambda people: people.repository(""))
        self._tell(lambda people: people.untrusted(commit, str(error)))

    def _refuse(self, commit: Commit, error: ReconcilerError) -> None:
        """Say that *commit* cannot be read."""
        self._wait_for(None)
        self._note(UNREADABLE, f"commit {commit.short}: {error}")
        if isinstance(error, PermanentError):
            self._tell(lambda people: people.repository(self.problem))
            self._tell(lambda people: people.unreadable(commit, str(error)))
        else:
            self._tell_if_it_lasts()

    def _wait_for(self, commit: Commit | None) -> None:
        self.withheld = commit
        metrics = self._world.metrics
        metrics.commit_withheld(withheld=commit is not None)
        metrics.commit_untrusted(untrusted=False)

    def _newest(self) -> Commit:
        world = self._world
        try:
            commit = world.mirror.fetch()
        except SourceError as error:
            world.metrics.fetch_failed()
            world.metrics.fallback(used=False)
            self._note(AWAY, str(error))
            self._tell_if_it_lasts()
            return self._mirrored(error)
        world.metrics.fetched(world.now())
        world.metrics.fallback(used=bool(world.mirror.fallback))
        self.problem = ""
        return commit

    def _tell_if_it_lasts(self) -> None:
        """Tell people of a problem that time alone may end, where it does not."""
        now = self._world.monotonic()
        if self._away_since is None:
            self._away_since = now
        if now >= self._away_since + TOLD_AFTER:
            self._tell(lambda people: people.repository(self.problem))

    def _mirrored(self, error: SourceError) -> Commit:
        """Return what the mirror has: a restart while the repository is away."""
        if self.current is not None:
            raise error
        try:
            commit = self._world.mirror.resolve(
                self._world.settings.repository.followed
            )
        except SourceError:
            raise error from None
        log.warning("repository is away, serving the mirror", error=str(error))
        return commit

    def _unless_current(self, commit: Commit) -> Revision | None:
        overlay = self._world.overlays.fingerprint()
        current = self.current
        if current and (current.commit.id, current.overlay) == (commit.id, overlay):
            return None
        if current is None or current.commit.id != commit.id:
            require_trust(self._world, commit)
        revision = self._read(commit, overlay)
        self._require_approval(revision)
        self._take_over(revision)
        return revision

    def _take_over(self, revision: Revision) -> None:
        self._note_checkout(revision)
        self._world.history.save_commit(revision.commit)
        self._world.history.machines.declare(revision.hosts)
        self._world.metrics.commit(revision.commit)
        # Last, so that a look that fails half-way is made again.
        self.current = revision

    def _note_checkout(self, revision: Revision) -> None:
        """Say what is to be known of the files of a commit."""
        for note in revision.notes if self._tells else ():
            log.warning("not as a work tree has it", files=note)
            text = f"commit {revision.commit.short}: {note}"
            self._world.history.event(now=self._world.now(), kind="checkout", text=text)

    def _require_approval(self, revision: Revision) -> None:
        """Raise WithheldError if too many hosts are gone and nobody let that pass."""
        world, commit = self._world, revision.commit
        before = self._hosts_before(commit)
        gone = hosts_gone(before, revision.hosts, world.policy.removal_limit)
        if not gone or world.history.is_approved(approval_of_commit(commit.id)):
            self._withheld = None
            return
        self._withheld = revision
        world.metrics.evaluation_works(None)
        raise WithheldError(commit, gone=gone, of=len(before))

    def _hosts_before(self, commit: Commit) -> tuple[HostName, ...]:
        """Return the hosts that *commit* is compared with; none if it is not new."""
        history, last = self._world.history, self._world.history.last_commit()
        if self.current is not None:
            return self.current.hosts
        if last is None or last.id == commit.id:
            return ()
        return tuple(status.host for status in history.statuses())

    def _pass_over(self, newest: Commit) -> None:
        """Serve what was taken over last, where we were started anew meanwhile."""
        self.passed_over = newest
        last = self._world.history.last_commit()
        if self.current is not None or last is None or last.id == newest.id:
            return
        try:
            revision = self._read(last, self._world.overlays.fingerprint())
        except ReconcilerError as error:
            log.warning("cannot serve the commit before", error=str(error))
            return
        self._take_over(revision)

    def _read(self, commit: Commit, overlay: str) -> Revision:
        world, known = self._world, self._unreadable
        if known is not None and known.holds(commit, overlay, world.monotonic()):
            raise known.error
        with world.mirror.held(commit) as checkout:
            world.overlays.lay(checkout)
            return Revision(
                commit=commit,
                checkout=checkout,
                hosts=self._known_hosts(commit, overlay, checkout),
                seen_at=world.now(),
                overlay=overlay,
                first=self.current is None,
                notes=notes_of(checkout),
            )

    def _known_hosts(
        self, commit: Commit, overlay: str, checkout: Path
    ) -> tuple[HostName, ...]:
        """Return the hosts of a commit; one that waits is not evaluated again."""
        held = self._withheld
        if held and (held.commit.id, held.overlay) == (commit.id, overlay):
            return held.hosts
        return self._hosts(commit, overlay, checkout)

    def _hosts(
        self, commit: Commit, overlay: str, checkout: Path
    ) -> tuple[HostName, ...]:
        world = self._world
        try:
            return world.evaluator.hosts(checkout)
        except PermanentError as error:
            self._unreadable = _Unreadable(
                commit=commit.id, overlay=overlay, error=error, at=world.monotonic()
            )
            world.metrics.evaluated(None, Evaluated.FAILED)
            raise

    def _tell(self, news: Callable[[Notify], None]) -> None:
        if self._tells:
            news(self._world.notify)

    def _note(self, kind: str, problem: str) -> None:
        """Remember how the repository is, and record it where that is news."""
        self.problem = problem
        if self._tells:
            world = self._world
            world.history.repository.note(kind, problem, now=world.now())
