"""Copy a system's closure to a host."""

import re
import shlex
from collections.abc import Callable, Sequence
from urllib.parse import quote as percent

from reconciler import process
from reconciler.errors import CommandError, CommandTimeoutError, CopyError, quote
from reconciler.model import Desired, StorePath, Target

MEMORY = 1 << 30
"""Bytes for a program that copies: a host says how long what it sends is, and Nix takes
that much memory before it reads on. Copying itself needs a small part of it."""

_PROGRESS = re.compile(r"copying (?:\d+ paths|path '[^']*' (?:to|from) '[^']*')\.\.\.$")


def copy_closure(
    desired: Desired,
    *,
    ssh: Sequence[str],
    deadline: float,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """
    Bring the desired system and all that it needs into the store of its host.

    *ssh* are OpenSSH arguments that reach the host as the rest of the program does;
    unless its connection is fast, the host may fetch from its own caches what it can.
    *deadline* in seconds. Raises CopyError, CommandMissingError. A copy that was cut
    short leaves whole paths only: Nix registers a path once it is complete.
    """
    argv = copy_argv(
        desired.toplevel, desired.target, substitute=not desired.fast_connection
    )
    env = {"NIX_SSHOPTS": shlex.join(ssh)}
    try:
        process.run(argv, deadline=deadline, env=env, on_line=on_line, memory=MEMORY)
    except CommandTimeoutError as error:
        message = f"{desired.host}: {error}"
        raise CopyError(message, host=desired.host) from error
    except CommandError as error:
        message = f"{desired.host}: copying the system failed: {reason(error)}"
        raise CopyError(message, host=desired.host) from error


def reason(error: CommandError) -> str:
    """
    Return what a copy that failed said of the cause.

    When the far side gives up, its own words come first, and last comes only that the
    pipe broke.
    """
    lines = (line.strip() for line in error.stderr.splitlines())
    said = [line for line in lines if line and not _PROGRESS.match(line)]
    told = "; ".join(line.removeprefix("error: ") for line in dict.fromkeys(said))
    return quote(told) or f"exit status {error.status}"


def copy_argv(toplevel: StorePath, target: Target, *, substitute: bool) -> list[str]:
    """
    Return the command that copies *toplevel* to the store of *target*.

    A store takes unsigned paths from root and from trusted users only, so for others
    the far side runs as root too. ``nix-copy-closure`` cannot be told to do so.
    """
    where = f"{target.user}@{target.address}"
    if target.user == "root":
        options = ["--use-substitutes"] if substitute else []
        return ["nix-copy-closure", *options, "--to", where, toplevel]
    program = percent(" ".join((*target.escalation, "nix-store")))
    store = f"ssh://{where}?remote-program={program}"
    options = ["--substitute-on-destination"] if substitute else []
    nix = ["nix", "--extra-experimental-features", "nix-command"]
    return [*nix, "copy", "--no-check-sigs", *options, "--to", store, toplevel]
