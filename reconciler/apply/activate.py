"""
Keep a toplevel on a host, and make it what the host boots.

Switching to one is the guardian's: see `reconciler.apply.guardian`.
"""

from reconciler.apply.detached import Ended, OnLine, run_detached
from reconciler.errors import ActivationError, quote
from reconciler.model import StorePath
from reconciler.remote import HostWriter

LOCKED = "Could not acquire lock"
PROFILE = "/nix/var/nix/profiles/system"
PROTECT_DEADLINE = 30.0  # seconds
GC_ROOT = "/nix/var/nix/gcroots/reconciler"

_SET_BOOT = f"""
nix-env -p {PROFILE} --set "$1" && exec "$1/bin/switch-to-configuration" boot
"""


def protect(writer: HostWriter, toplevel: StorePath) -> None:
    """
    Keep the host's garbage collector off *toplevel*, which is about to be copied.

    Before the copy: a link that leads nowhere yet does no harm. Raises RemoteError,
    RemoteTimeoutError, ConnectError.
    """
    argv = ("ln", "-sfn", toplevel, GC_ROOT)
    writer.run(argv, what="protecting the system", deadline=PROTECT_DEADLINE)


def set_boot(
    writer: HostWriter,
    toplevel: StorePath,
    attempt: str,
    *,
    deadline: float,
    on_line: OnLine,
) -> None:
    """Make *toplevel* a new generation and what the host boots. ActivationError."""
    ended = _run(writer, _SET_BOOT, toplevel, f"{attempt}-boot", deadline=deadline)
    _tell(ended, on_line)
    if ended.status != 0:
        raise _failure(writer, ended)


def _run(
    writer: HostWriter, script: str, toplevel: StorePath, name: str, *, deadline: float
) -> Ended:
    argv = ("/bin/sh", "-c", script, "sh", toplevel)
    return run_detached(writer, name, argv, deadline=deadline)


def _tell(ended: Ended, on_line: OnLine) -> None:
    for line in ended.output.splitlines():
        on_line(line)


def _failure(writer: HostWriter, ended: Ended) -> ActivationError:
    host, said = writer.host, quote(ended.output) or "it printed nothing"
    if LOCKED in ended.output:
        message = f"{host}: somebody else is switching this host just now; waiting"
    else:
        message = (
            f"{host}: switch-to-configuration exited with status {ended.status}: {said}"
        )
    return ActivationError(message, host=host, status=ended.status)
