"""Have a host build its system itself."""

import contextlib
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path, PurePosixPath

from reconciler import process
from reconciler.errors import (
    CommandError,
    CommandTimeoutError,
    ConnectError,
    ReconcilerError,
    last_line,
)
from reconciler.model import Desired, Target
from reconciler.remote.session import become_root, quote

LINGER = 30.0
"""Seconds beyond the deadline after which the host ends a build that nobody ended."""

_STOP_DEADLINE = 30.0
_PATH = (
    "PATH=/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    ":/nix/var/nix/profiles/default/bin\n"
)
_UNREACHED = 255  # how ssh ends where the connection is at fault


def build(
    desired: Desired,
    *,
    root: str,
    there: Callable[[Sequence[str]], list[str]],
    deadline: float,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """
    Build the desired system on its host, which has the derivation, and keep it there.

    By the link *root*, for at most *deadline* seconds. *there* returns the command that
    runs one of the host as root. It is cut like what is built here when the program
    ends; the host then goes on to its own deadline. Raises CommandError with what Nix
    said, CommandTimeoutError, ConnectError, StoppingError.
    """
    script = resources.files(__package__).joinpath("build.sh").read_text("utf-8")
    limit = f"{deadline + LINGER:.0f}"
    system = desired.toplevel
    words = ("sh", "-c", script, "build", desired.derivation, system, root, limit)
    try:
        process.run(there(words), deadline=deadline, on_line=on_line)
    except CommandTimeoutError:
        stop = ("systemctl", "stop", f"{PurePosixPath(root).name}-build.service")
        with contextlib.suppress(ReconcilerError):
            process.run(there(stop), deadline=_STOP_DEADLINE)
        raise
    except CommandError as error:
        if error.status != _UNREACHED or desired.target.local:
            raise
        message = (
            f"{desired.host}: the connection broke while it was building:"
            f" {last_line(error.stderr)}"
        )
        raise ConnectError(message, host=desired.host) from error


def read_log(derivation: str) -> str:
    """Return the script that prints what the builder of *derivation* printed."""
    return f"{_PATH}nix-store --read-log {quote(derivation)} || :"


def over_ssh(target: Target, config: Path) -> Callable[[Sequence[str]], list[str]]:
    """
    Return what makes a command for ssh(1) of one of a host, run as root.

    *config* is the ssh_config file that says how the host is reached.
    """

    def there(words: Sequence[str]) -> list[str]:
        line = " ".join(map(quote, (*become_root(target), *words)))
        return ["ssh", "-F", str(config), "--", target.address, line]

    return there
