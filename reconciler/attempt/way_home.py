"""
Whether a machine that deploys itself can still read the repository.

Who confirms over SSH has come over the network. Who is on the machine would confirm a
system that cuts it off as well, and no commit could ever mend that: so the repository
has to answer before such a switch, and again after it. Not on the way back to what the
machine was in sync with, which may be what mends it.
"""

from reconciler.apply.guardian import NOTHING_BEFORE
from reconciler.errors import TemporaryError
from reconciler.model import Attempt, Desired, Known, StorePath, SystemKind
from reconciler.world import HostWorld

ASK_SECONDS = 10.0


class CutOffError(TemporaryError):
    """A machine that deploys itself cannot read the repository."""


def matters(desired: Desired, known: Known) -> bool:
    """Say whether *desired* may only stay where the repository can be read."""
    return desired.target.local and desired.toplevel != known.applied


def require_before(world: HostWorld, desired: Desired, known: Known) -> None:
    """Raise CutOffError if nobody could tell afterwards what cut the network off."""
    if not matters(desired, known):
        return
    if problem := world.unanswered(ASK_SECONDS):
        message = (
            f"{desired.host}: nothing was touched, since it could not be told whether"
            f" the new system keeps the network: {problem}"
        )
        raise CutOffError(message)


def require_after(world: HostWorld, desired: Desired, *, until: float) -> None:
    """Raise CutOffError if the repository does not answer just now."""
    left = max(1.0, until - world.monotonic())
    if problem := world.unanswered(min(ASK_SECONDS, left)):
        message = f"{desired.host} was cut off by the switch: {problem}"
        raise CutOffError(message)


def source(attempt: Attempt, desired: Desired) -> StorePath:
    """Return what a host goes back to, also where no system ran before."""
    managed = desired.kind is SystemKind.SYSTEM_MANAGER
    return attempt.source or (NOTHING_BEFORE if managed else attempt.target)
