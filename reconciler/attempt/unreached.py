"""What is said of a host that was switched and that nobody could reach then."""

from reconciler.errors import (
    ConnectError,
    FactError,
    HostKeyError,
    ReconcilerError,
    RemoteError,
    StateError,
)
from reconciler.model import Desired
from reconciler.plan import ssh_warnings

OF_REACH = (ConnectError, RemoteError, HostKeyError, FactError, StateError)
"""What looking raises where it says nothing of how the host is."""


def told_unreached(error: ReconcilerError, *, silent: float) -> str:
    """Return what *error* says, and how long the host has been *silent*, in seconds."""
    if isinstance(error, OF_REACH):
        return f"{error} (not seen for {silent:.0f} s)"
    return str(error)


def explained(told: str, desired: Desired, former: Desired | None) -> str:
    """Return *told* with what of the commit explains that nobody got there."""
    changes = "; ".join(ssh_warnings(desired, former))
    return f"{told}; of what the commit says: {changes}" if changes else told
