"""Which commits of the mirror somebody vouches for, by their signatures and tags."""

from collections.abc import Collection
from pathlib import Path

from reconciler.model import CommitId
from reconciler.settings import RepositorySettings
from reconciler.source import command
from reconciler.source.file_signatures import FileSignatures
from reconciler.source.signatures import Flaw, Signatures


class Vouching:
    """
    Asks git of the mirror at a path.

    Where tags are followed, one that is signed itself vouches for its commit, and all
    that is in it. A file behind a URL has a signature of its own, and none before it
    matters.
    """

    def __init__(
        self, settings: RepositorySettings, mirror: Path, *, state: Path
    ) -> None:
        """Take whose signatures count, and the pattern of tags that are followed."""
        verify = settings.verify
        self._asked = verify.asked
        self._mirror = mirror
        self._tag = settings.tag
        self._signatures = Signatures(verify, state / "keyrings")
        self._file = FileSignatures(verify, state) if settings.is_file else None

    def check(self) -> None:
        """Raise UnusableError where signatures are wanted and cannot be verified."""
        if self._asked:
            (self._file or self._signatures).check()

    def doubts_of_tags(self, commit: CommitId) -> list[str]:
        """
        Return why annotated tags do not vouch for *commit*; empty for one that does.

        A tag counts under the name only that was signed with it: whoever may push could
        call an old one newer.
        """
        if not self._tag:
            return []
        how = "--format=%(objecttype) %(*objectname) %(objectname) %(refname:strip=2)"
        which = (f"--points-at={commit}", f"refs/tags/{self._tag}")
        told = command.local(self._mirror, "for-each-ref", how, *which).stdout
        rows = [line.split(" ", 3) for line in told.splitlines()]
        return [
            self._doubt(tag, name)
            for kind, of, tag, name in rows
            if kind == "tag" and of == commit
        ]

    def first_unsigned(
        self, commit: CommitId, after: Collection[CommitId], doubts: Collection[str]
    ) -> Flaw | None:
        """
        Return the first commit that is not well signed of those that are new.

        New is what *commit* has in it and none of *after* has, all of which the mirror
        knows; without these, *commit* alone. It tells *doubts* too. Raises
        UnusableError, CommandError, StateError.
        """
        if self._file is not None:
            return self._file.first_flaw(self._mirror, [commit])
        new = self._new(commit, after) if after else []
        flaw = self._signatures.first_flaw(self._mirror, new or [commit])
        if flaw is None or not doubts:
            return flaw
        return Flaw(flaw.commit, "; ".join([flaw.why, *doubts]))

    def _new(self, commit: CommitId, after: Collection[CommitId]) -> list[CommitId]:
        argv = ["rev-list", "--reverse", "--topo-order", "--end-of-options"]
        env = {"GIT_NO_REPLACE_OBJECTS": "1"}
        known = [f"^{name}" for name in after]
        told = command.local(self._mirror, *argv, commit, *known, "--", env=env)
        return [CommitId(name) for name in told.stdout.split()]

    def _doubt(self, tag: str, name: str) -> str:
        text = command.local(self._mirror, "cat-file", "tag", tag).stdout
        if f"tag {name}" not in text.partition("\n\n")[0].splitlines():
            return f"tag {name} was signed under another name"
        why = self._signatures.flaw_of_tag(self._mirror, tag)
        return f"nor is tag {name}: {why}" if why else ""
