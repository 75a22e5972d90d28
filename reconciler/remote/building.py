"""Have a host build its system itself."""

import contextlib
from collections.abc import Callable
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
from reconciler.model import Desired
from reconciler.remote.session import quote

LINGER = 30.0
"""Seconds beyond the deadline after which the host ends a build that nobody ended."""

_STOP_DEADLINE = 30.0
_PATH = "PATH=/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
_UNREACHED = 255  # how ssh ends where the connection is at fault


def build(
    desired: Desired,
    *,
    root: str,
    config: Path,
    deadline: float,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """
    Build the desired system on its host, which has the derivation, and keep it there.

    By the link *root*, for at most *deadline* seconds. *config* is the ssh_config file
    that says how the host is reached. By ssh(1), so that it is cut like what is built
    here when the program ends; the host then goes on to its own deadline. Raises
    CommandError with what Nix said, CommandTimeoutError, ConnectError, StoppingError.
    """
    script = resources.files(__package__).joinpath("build.sh").read_text("utf-8")
    limit = f"{deadline + LINGER:.0f}"
    system = desired.toplevel
    words = ("sh", "-c", script, "build", desired.derivation, system, root, limit)
    argv = _remotely(desired, config, words)
    try:
        process.run(argv, deadline=deadline, on_line=on_line)
    except CommandTimeoutError:
        stop = ("systemctl", "stop", f"{PurePosixPath(root).name}-build.service")
        with contextlib.suppress(ReconcilerError):
            process.run(_remotely(desired, config, stop), deadline=_STOP_DEADLINE)
        raise
    except CommandError as error:
        if error.status != _UNREACHED:
            raise
        message = (
            f"{desired.host}: the connection broke while it was building:"
            f" {last_line(error.stderr)}"
        )
        raise ConnectError(message, host=desired.host) from error


def read_log(derivation: str) -> str:
    """Return the script that prints what the builder of *derivation* printed."""
    return f"{_PATH}nix-store --read-log {quote(derivation)} || :"


def _remotely(desired: Desired, config: Path, words: tuple[str, ...]) -> list[str]:
    target = desired.target
    become = () if target.user == "root" else target.escalation
    line = " ".join(quote(word) for word in (*become, *words))
    return ["ssh", "-F", str(config), "--", target.address, line]
