"""
Keep a toplevel on a host.

Switching to one, and having the host boot it, is the guardian's: see
`reconciler.apply.guardian`.
"""

from reconciler.model import StorePath
from reconciler.remote import HostWriter

PROTECT_DEADLINE = 30.0  # seconds
GC_ROOT = "/nix/var/nix/gcroots/reconciler"
GC_ROOT_BEFORE = f"{GC_ROOT}-before"


def protect(
    writer: HostWriter,
    path: StorePath,
    before: StorePath | None,
    *,
    root: str = GC_ROOT,
) -> None:
    """
    Keep the host's garbage collector off *path*, which is about to come, by *root*.

    Before it comes: a link that leads nowhere yet does no harm. And off the system from
    *before*, which may be no generation, and is to be gone back to. Raises RemoteError,
    RemoteTimeoutError, ConnectError.
    """
    for system, link in ((path, root), (before, GC_ROOT_BEFORE)):
        if system is not None:
            argv = ("ln", "-sfn", system, link)
            writer.run(argv, what="protecting a system", deadline=PROTECT_DEADLINE)
