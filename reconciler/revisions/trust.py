"""Which commits may count: those that are signed as the settings ask, going forward."""

from reconciler.errors import PermanentError, UnknownCommitError
from reconciler.model import Commit, CommitId
from reconciler.source import UnusableError
from reconciler.world import CommitWorld


class UntrustedError(PermanentError):
    """A commit, which the text names, may not count; no approval changes that."""


class UnsignedError(UntrustedError):
    """A commit, or one between it and what counts now, is not signed as it must be."""


class RewrittenError(UntrustedError):
    """A commit does not have in it what hosts were brought to."""


def require_trust(world: CommitWorld, commit: Commit) -> None:
    """
    Raise UntrustedError unless *commit* may count.

    It is compared with what was taken over last: where signatures are asked for, every
    commit since must be signed, but for those up to ``repository.verify.since``. The
    very first time, and without that, it is *commit* alone. Raises StateError too.
    """
    settings = world.settings.repository
    last = world.history.last_commit()
    if last is not None and last.id == commit.id:
        return
    if settings.verify.asked:
        _require_signatures(world, commit, last.id if last else None)
    if last is not None and not settings.may_rewrite:
        _require_forward(world, commit, last)


def is_trusted(world: CommitWorld, commit: Commit) -> bool:
    """
    Return whether *commit* may see secrets: it is merged, and counts or did.

    Where signatures are asked for, what the branch has may not count yet.
    """
    if not world.mirror.is_merged(commit):
        return False
    last = world.history.last_commit()
    if not world.settings.repository.verify.asked:
        return True
    return last is not None and world.mirror.contains(last.id, commit.id)


def _require_signatures(
    world: CommitWorld, commit: Commit, last: CommitId | None
) -> None:
    since = world.settings.repository.verify.since
    after = [CommitId(since)] if since is not None else []
    # What is not known here any more vouches for nothing: another one must.
    if last is not None and (not after or world.mirror.has(last)):
        after.append(last)
    try:
        flaw = world.mirror.first_unsigned(commit.id, after)
    except UnusableError as error:
        message = (
            f"the signature of commit {commit.short} cannot be verified, so it does not"
            f" count: {error}"
        )
        raise UnsignedError(message) from error
    except UnknownCommitError as error:
        message = (
            f"which commits are new with {commit.short}, and so to be verified, cannot"
            f" be told: {error}; to begin from another one: repository.verify.since:"
            " COMMIT"
        )
        raise UnsignedError(message) from error
    if flaw is not None:
        which = f"commit {commit.short}"
        if flaw.commit != commit.id:
            which = f"commit {flaw.commit} in {which}"
        message = (
            f"{which} is not signed as repository.verify asks: {flaw.why}. It cannot be"
            " approved: have it signed by a key that is trusted, or trust its key"
        )
        raise UnsignedError(message)


def _require_forward(world: CommitWorld, commit: Commit, last: Commit) -> None:
    if world.mirror.contains(commit.id, last.id):
        return
    followed = world.settings.repository.followed
    message = (
        f"{followed} was rewritten: commit {last.short}, which hosts were brought to,"
        f" is not in {commit.short}. Push one that has it, or, if that is right, set"
        " repository.allow_force: true"
    )
    raise RewrittenError(message)
