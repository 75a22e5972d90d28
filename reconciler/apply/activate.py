"""
Make a host run a toplevel, and boot it.

Exit codes of ``switch-to-configuration``: 0 done; 4 some unit failed, also one that was
failing before; 100 a reboot is needed first; anything else failed. (nixpkgs,
switch-to-configuration-ng; its man page.)
"""

from reconciler.apply.detached import Ended, OnLine, run_detached
from reconciler.errors import ActivationError, quote
from reconciler.model import StorePath
from reconciler.remote import HostWriter

SOME_UNIT_FAILED = 4
REBOOT_FIRST = 100
LOCKED = "Could not acquire lock"
PROFILE = "/nix/var/nix/profiles/system"
PROTECT_DEADLINE = 30.0  # seconds
GC_ROOT = "/nix/var/nix/gcroots/reconciler"

# `test -f` comes first because a copy that was cut short can leave a valid-looking path
# (NixOS/nix issue 13367; nixos-rebuild has the same guard).
_ACTIVATE = f"""
test -f "$1/nixos-version" || {{ echo "$1 is not whole on this host" >&2; exit 1; }}
if ! test -x "$1/bin/switch-to-configuration"; then
  echo "$1 has no switch-to-configuration (system.switch.enable = false?)" >&2
  exit 1
fi
ln -sfn "$1" {GC_ROOT} && exec "$1/bin/switch-to-configuration" test
"""
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


def activate(
    writer: HostWriter,
    toplevel: StorePath,
    attempt: str,
    *,
    deadline: float,
    on_line: OnLine,
) -> bool:
    """
    Switch the running system to *toplevel*, which the host already has.

    What the host boots stays as it is. *deadline* in seconds. Returns whether every
    unit came up, as far as ``switch-to-configuration`` tells. Raises ActivationError.
    """
    ended = _run(writer, _ACTIVATE, toplevel, f"{attempt}-test", deadline=deadline)
    _tell(ended, on_line)
    if ended.status not in (0, SOME_UNIT_FAILED):
        raise _failure(writer, ended)
    return ended.status == 0


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
    elif ended.status == REBOOT_FIRST:
        message = f"{host}: the new system cannot be switched to without a reboot"
    else:
        message = (
            f"{host}: switch-to-configuration exited with status {ended.status}: {said}"
        )
    return ActivationError(message, host=host, status=ended.status)
