"""A mirror of the watched branch in the state directory, and clean checkouts of it."""

import contextlib
import re
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import structlog

from reconciler.errors import CommandError, SourceError, UnknownCommitError
from reconciler.model import Commit, CommitId
from reconciler.settings import RepositorySettings
from reconciler.source import command
from reconciler.source.checkout import Checkouts
from reconciler.source.commits import FIELDS, read_commit
from reconciler.source.copy import FORMATS, Copy
from reconciler.source.heads import Followed, Head, NoHeadError
from reconciler.source.network import Remote
from reconciler.source.published import remote_of
from reconciler.source.signatures import Flaw
from reconciler.source.vouching import Vouching

log = structlog.get_logger(__name__)

_ELSEWHERE = "refs/newest/elsewhere"  # what a fall-back has
_ID = re.compile("[0-9a-f]{4,64}")
_IN_REVISION = re.compile(r"[~^:@{]")  # main~2 and its like: no names of branches


class Mirror:
    """
    What we know of the repository, also while it is away.

    Threads and processes may share one state directory. Every method raises StateError
    when that cannot be written.
    """

    def __init__(
        self,
        settings: RepositorySettings,
        *,
        state: Path,
        known_hosts: Path | None = None,
    ) -> None:
        """Take where it comes from, and SSH keys known besides those of ssh itself."""
        self._remote = remote_of(settings, state, known_hosts)
        self._fallbacks = [Remote(url, known_hosts) for url in settings.fallbacks]
        self._branch = settings.branch
        self._followed = Followed(settings.branch, settings.tag or "")
        self._path = state / "mirror.git"
        self._copy = Copy(self._path, self._remote)
        self._checkouts = Checkouts(
            self._path,
            self._remote,
            state=state,
            without=frozenset(settings.without_submodules),
        )
        self._vouching = Vouching(settings, self._path, state=state)
        self._waits: tuple[float, SourceError | None] = (0.0, None)  # before asking it
        self.fallback = ""
        """Why a fall-back was read at the last fetch, and which; empty if none was."""

    def fetch(self) -> Commit:
        """
        Bring the mirror up to date and return the head of the branch.

        A rewritten branch is followed, and logged. A damaged mirror is made anew.
        Where the repository cannot be read, the fall-backs are, which never take back
        what was seen. Raises SourceError when none can be read, or the repository lacks
        the branch; what was fetched before stays.
        """
        try:
            commit = self._fetch()
        except NoHeadError:
            self.fallback = ""
            raise
        except SourceError as error:
            commit = self._fall_back(error)
        else:
            self.fallback = ""
        return commit

    def _fall_back(self, error: SourceError) -> Commit:
        """Ask the fall-backs in order; raise *error* if none can be read either."""
        problems = [str(error)]
        for remote in self._fallbacks:
            try:
                commit = self._fetch_elsewhere(remote)
            except SourceError as other:
                problems.append(str(other))
                continue
            # Nobody else waits for it as it asked, since this look is a success.
            wait = error.retry_after
            if wait is not None and error is not self._waits[1]:
                self._waits = (time.monotonic() + wait, error)
            told = "; ".join(problems)
            self.fallback = f"{told}; read from the fall-back {remote.shown} meanwhile"
            return commit
        self.fallback = ""
        if len(problems) == 1:
            raise error
        raise SourceError("; ".join(problems), retry_after=error.retry_after) from error

    def unanswered(self, seconds: float) -> str:
        """
        Return why neither the repository nor a fall-back answers within *seconds*.

        Empty if one does, and where it is on this machine: no network leads there.
        """
        if self._remote.path is not None:
            return ""
        problems: list[str] = []
        ends = time.monotonic() + seconds
        for remote in (self._remote, *self._fallbacks):
            if remote.path is not None:
                continue  # that is there whatever the switch cut off
            try:
                remote.ask("HEAD", deadline=max(1.0, ends - time.monotonic()))
            except SourceError as error:
                problems.append(str(error))
            else:
                return ""
        return "; ".join(problems)

    def first_unsigned(
        self, commit: CommitId, after: Collection[CommitId]
    ) -> Flaw | None:
        """
        Return the first commit that is not well signed of those that are new.

        New is what *commit* has in it and none of *after* has; without these, *commit*
        alone, which is looked at in any case. Raises UnknownCommitError where one of
        *after* is not known here, UnusableError, CommandError, StateError.
        """
        doubts = self._vouching.doubts_of_tags(commit)
        if "" in doubts:
            return None
        for one in after:
            if not self.has(one):
                message = f"{self._remote.shown} has no commit {one} that we know"
                raise UnknownCommitError(message)
        return self._vouching.first_unsigned(commit, after, doubts)

    def check_signatures(self) -> None:
        """Raise UnusableError where signatures are wanted and cannot be verified."""
        self._vouching.check()

    def resolve(self, ref: str) -> Commit:
        """
        Return the commit that *ref* names: a branch, a tag, an id, or ``main~2``.

        The watched branch is answered from the mirror, other branches and tags from
        the repository if it can be read. Raises UnknownCommitError naming *ref*,
        and SourceError.
        """
        revision = self._find(ref)
        if (name := self._name(revision)) is None:
            url = self._remote.shown
            message = f"{url} has no branch, tag or commit {ref!r} that we know"
            raise UnknownCommitError(message)
        if revision == self._followed.here:
            return self._here()
        branch = revision.removeprefix("refs/heads/")
        return self._read(
            name, branch=self._followed.name if branch == revision else branch
        )

    def has(self, commit: CommitId) -> bool:
        """Return whether *commit* is known here."""
        return self._is_known_id(commit)

    def contains(self, newer: CommitId, older: CommitId) -> bool:
        """
        Return whether *newer* is *older*, or has it in it.

        One that is not known, as after a rewritten branch, has nothing in it. Raises
        CommandError where git cannot tell.
        """
        if newer == older:
            return True
        argv = ("merge-base", "--is-ancestor", older, newer)
        return command.local(self._path, *argv, check=False).status == 0

    def is_merged(self, commit: Commit) -> bool:
        """Return whether the watched branch has *commit*, as far as we can tell."""
        argv = ("merge-base", "--is-ancestor", commit.id, self._followed.here)
        return command.local(self._path, *argv, check=False).status == 0

    def between(
        self, before: CommitId, after: CommitId, *, limit: int
    ) -> tuple[list[Commit], int]:
        """
        Return the commits that *after* has and *before* has not, newest first.

        At most *limit* of them, and how many there are. Raises SourceError where one of
        the two is not known here, as after a rewritten branch.
        """
        fields = ["--encoding=UTF-8", f"--format={FIELDS}", f"--max-count={limit}"]
        told = ["--end-of-options", f"{before}..{after}", "--"]
        try:
            done = command.local(self._path, "log", *fields, *told)
            counted = command.local(self._path, "rev-list", "--count", *told)
        except CommandError as error:
            message = f"{before[:8]}..{after[:8]} cannot be read: {command.said(error)}"
            raise SourceError(message) from error
        branch, lines = self._followed.name, done.stdout.split("\n")
        found = [read_commit(line, branch=branch) for line in lines if line]
        return found, int(counted.stdout)

    def checkout(self, commit: Commit) -> Path:
        """
        Return the folder that holds exactly *commit*, with its submodules.

        It is made once; whoever asks meanwhile waits. It may be pruned as soon as it
        is not the newest any more. Raises SourceError when the commit or a submodule
        cannot be had.
        """
        with self._told(commit):
            return self._checkouts.make(commit.id)

    @contextlib.contextmanager
    def held(self, commit: Commit) -> Iterator[Path]:
        """Give the folder that `checkout` returns; no process prunes it meanwhile."""
        with contextlib.ExitStack() as stack:
            with self._told(commit):
                folder = stack.enter_context(self._checkouts.held(commit.id))
            yield folder

    @contextlib.contextmanager
    def _told(self, commit: Commit) -> Iterator[None]:
        """Turn what git says of a checkout into a SourceError."""
        try:
            yield
        except CommandError as error:
            self._copy.suspect(commit.id)
            message = f"{commit.short} cannot be checked out: {command.said(error)}"
            raise SourceError(message) from error

    def prune(self, keep: Collection[CommitId]) -> None:
        """
        Remove checkouts, and pack the mirror if due.

        Those of *keep* stay, and those that somebody holds.
        """
        self._checkouts.prune(keep)
        self._copy.pack()

    # --- fetching ----------------------------------------------------------------

    def _fetch(self) -> Commit:
        """Bring the mirror up to date from the repository itself."""
        until, asked_to_wait = self._waits
        if asked_to_wait is not None and time.monotonic() < until:
            raise asked_to_wait
        there = self._followed.at(self._remote)
        with self._copy.locked():
            before = self._head_here()
            if there.commit != before:
                self._bring_head(self._copy, there)
            commit = self._read_or_renew(there)
            if before == commit.id != there.commit:
                self._require_news(commit)
        if before is not None and before != commit.id:
            self._tell_rewrite(before, commit)
        return commit

    def _fetch_elsewhere(self, remote: Remote) -> Commit:
        """
        Bring the mirror up to date from a fall-back, unless that is behind it.

        Raises what `fetch` raises.
        """
        there = self._followed.at(remote)
        copy = Copy(self._path, remote)
        with copy.locked():
            before = self._head_here()
            if before is None:
                self._bring_head(copy, there)
            elif before != there.commit:
                self._advance(copy, there, before)
            return self._here()

    def _advance(self, copy: Copy, there: Head, before: str) -> None:
        """Follow a fall-back to what it has, if that has in it what we have."""
        copy.add(*self._followed.refspecs(there, _ELSEWHERE))
        ours = self._followed.here
        argv = ["merge-base", "--is-ancestor", before, _ELSEWHERE]
        if command.local(self._path, *argv, check=False).status == 0:
            command.local(self._path, "update-ref", ours, _ELSEWHERE)
        else:
            log.warning(
                "a fall-back does not have what was seen already: it is not followed",
                repository=copy.shown,
                seen=before,
                has=there.commit,
            )

    def _bring_head(self, copy: Copy, there: Head) -> None:
        refspecs = self._followed.refspecs(there)
        copy.bring(there.commit, *refspecs, branch=self._branch)

    def _head_here(self) -> str | None:
        return self._name(self._followed.here)

    def _require_news(self, commit: Commit) -> None:
        """Raise SourceError unless *commit*, at which we stayed, is the head again."""
        there = self._followed.at(self._remote)
        if there.commit != commit.id:
            message = (
                f"{self._remote.shown} says that {self._followed.name!r} is at"
                f" {there.commit}, but a fetch does not bring that: {commit.short}"
                " stays"
            )
            raise SourceError(message)

    def _read_or_renew(self, there: Head) -> Commit:
        """Return the head that was fetched; from a new mirror if this is damaged."""
        if not self._copy.is_suspect:
            with contextlib.suppress(SourceError):
                return self._here()
        self._copy.renew(
            there.commit, *self._followed.refspecs(there), branch=self._branch
        )
        return self._here()

    def _tell_rewrite(self, before: str, commit: Commit) -> None:
        if (self._path / "shallow").exists():
            return  # where history is cut off nobody can tell
        argv = ["merge-base", "--is-ancestor", before, commit.id]
        if command.local(self._path, *argv, check=False).status == 1:
            log.warning(
                "branch was rewritten",
                branch=self._followed.name,
                before=before,
                after=commit.id,
            )

    # --- reading -----------------------------------------------------------------

    def _here(self) -> Commit:
        """Return what the mirror has of what is followed."""
        name = self._tag_here() if self._followed.tag else self._branch
        return self._read(self._followed.here, branch=name)

    def _tag_here(self) -> str:
        """Return the name of the newest tag, for people."""
        how = ("--count=1", "--sort=-version:refname", "--format=%(refname:strip=2)")
        which = (f"--points-at={self._followed.here}", "refs/tags")
        done = command.local(self._path, "for-each-ref", *how, *which, check=False)
        return done.stdout.strip() or self._followed.name

    def _read(self, revision: str, *, branch: str) -> Commit:
        argv = ["log", "-1", "--encoding=UTF-8", f"--format={FIELDS}"]
        try:
            done = command.local(self._path, *argv, "--end-of-options", revision, "--")
        except CommandError as error:
            message = f"{revision} cannot be read: {command.said(error)}"
            raise SourceError(message) from error
        return read_commit(done.stdout.rstrip("\n"), branch=branch)

    def _find(self, ref: str) -> str:
        """Return what to call *ref* in the mirror, fetched if that may help."""
        if ref == self._followed.name:
            return self._followed.here
        if not _IN_REVISION.search(ref) and not self._is_known_id(ref):
            with contextlib.suppress(SourceError):
                return self._bring(ref)
        return ref

    def _bring(self, ref: str) -> str:
        """Fetch the branch, tag or full id *ref*; return its name in the mirror."""
        places = [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        there = self._remote.ask(*places)
        self._forget(place for place in places if place not in there)
        name = next((place for place in places if place in there), None)
        source = name
        if name is None and _ID.fullmatch(ref) and len(ref) in FORMATS:
            source, name = ref, f"refs/asked/{ref}"
        if name is None:
            return ref
        with self._copy.locked():
            self._copy.add(f"+{source}:{name}")
        return name

    def _forget(self, refs: Iterable[str]) -> None:
        """Drop branches and tags that are gone over there: they name nothing now."""
        with self._copy.locked():
            for ref in refs:
                if ref != self._followed.here and self._name(ref):
                    command.local(self._path, "update-ref", "-d", ref, check=False)

    def _is_known_id(self, ref: str) -> bool:
        return bool(_ID.fullmatch(ref)) and self._name(ref) is not None

    def _name(self, revision: str) -> str | None:
        """Return the full id of the commit that *revision* names in the mirror."""
        argv = ["rev-parse", "--verify", "--quiet", "--end-of-options"]
        done = command.local(self._path, *argv, f"{revision}^{{commit}}", check=False)
        return done.stdout.strip().splitlines()[-1] if done.status == 0 else None
