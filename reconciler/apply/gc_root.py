"""
Keep a toplevel on a host.

Switching to one, and having the host boot it, is the guardian's: see
`reconciler.apply.guardian`.
"""

from reconciler.model import StorePath
from reconciler.remote import HostWriter

PROTECT_DEADLINE = 30.0  # seconds
GC_ROOT = "/nix/var/nix/gcroots/reconciler"


def protect(writer: HostWriter, toplevel: StorePath) -> None:
    """
    Keep the host's garbage collector off *toplevel*, which is about to be copied.

    Before the copy: a link that leads nowhere yet does no harm. Raises RemoteError,
    RemoteTimeoutError, ConnectError.
    """
    argv = ("ln", "-sfn", toplevel, GC_ROOT)
    writer.run(argv, what="protecting the system", deadline=PROTECT_DEADLINE)
