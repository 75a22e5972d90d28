"""Which commit of a repository counts: the head of a branch, or of the newest tag."""

from dataclasses import dataclass

from reconciler.errors import SourceError
from reconciler.source.network import Remote

_NAMES_SHOWN = 20

NEWEST_TAG = "refs/newest/tag"
"""What the newest tag is called in the mirror: a ref that nobody else moves."""


class NoHeadError(SourceError):
    """The repository answers, and has nothing of that name."""


@dataclass(frozen=True, slots=True)
class Head:
    """What counts in a repository elsewhere just now."""

    ref: str  # over there
    commit: str


@dataclass(frozen=True, slots=True)
class Followed:
    """What is followed: a branch, or those tags that match a pattern."""

    branch: str
    tag: str = ""  # in place of the branch

    @property
    def name(self) -> str:
        """What the settings call it."""
        return self.tag or self.branch

    @property
    def here(self) -> str:
        """The ref that has it in the mirror."""
        return NEWEST_TAG if self.tag else f"refs/heads/{self.branch}"

    def at(self, remote: Remote) -> Head:
        """Ask *remote* what counts now. Raises NoHeadError, and SourceError."""
        return self._newest_tag(remote) if self.tag else self._head(remote)

    def refspecs(self, head: Head, here: str = "") -> tuple[str, ...]:
        """Return how *head* comes into the mirror, as *here* where that is given."""
        one = f"+{head.ref}:{here or self.here}"
        # A tag under its own name too, so that it can be told.
        return (one, f"+{head.ref}:{head.ref}") if self.tag else (one,)

    def _newest_tag(self, remote: Remote) -> Head:
        found = remote.tags(self.tag)
        if not found:
            names = _names(remote, "refs/tags/")
            others = f"; there are: {names}" if names else ", nor any other: push one"
            message = f"{remote.shown} has no tag {self.tag!r}{others}"
            raise NoHeadError(message)
        return Head(*found[0])

    def _head(self, remote: Remote) -> Head:
        ref, tag = f"refs/heads/{self.branch}", f"refs/tags/{self.branch}"
        found = remote.ask(ref, tag)
        if name := found.get(ref):
            return Head(ref, name)
        url, names = remote.shown, _names(remote, "refs/heads/")
        if not names:
            message = f"{url} is empty: it has no branch at all"
            raise NoHeadError(message)
        but = ", but a tag, which repository.tag follows" if tag in found else ""
        message = f"{url} has no branch {self.branch!r}{but}; there are: {names}"
        raise NoHeadError(message)


def _names(remote: Remote, kind: str) -> str:
    """Return the names of the branches or tags over there, not too many; for people."""
    refs = remote.ask(f"{kind}*")
    names = sorted(ref.removeprefix(kind) for ref in refs if ref.startswith(kind))
    more = ", …" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
