"""Copy a system's closure to a host."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote as percent

from reconciler import process
from reconciler.errors import CommandError, CommandTimeoutError, CopyError, quote
from reconciler.model import Desired, StorePath, SystemKind, Target

MEMORY = 1 << 30
"""Bytes for a program that copies: a host says how long what it sends is, and Nix takes
that much memory before it reads on. Copying itself needs a small part of it."""

_PATH = (
    "/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/local/bin"
    ":/usr/bin:/bin"
)
"""Where Nix is on other distributions: its installer tells login shells alone."""

_UNSIGNED = re.compile(r"lacks a (?:valid )?signature")
_SIGN = (
    "The host takes only what a key that it trusts has signed: set nix.signing_key and"
    " add its public half to nix.settings.trusted-public-keys of the host, or have who"
    " receives there be root or one of its nix.settings.trusted-users"
)
_PROGRESS = re.compile(r"copying (?:\d+ paths|path '[^']*' (?:to|from) '[^']*')\.\.\.$")


def copy_closure(
    desired: Desired,
    *,
    config: Path,
    deadline: float,
    on_line: Callable[[str], None] | None = None,
    derivation: bool = False,
) -> None:
    """
    Bring the desired system and all that it needs into the store of its host.

    Or its *derivation*, and all that it takes to build it there.

    *config* is the ssh_config file that says how it is reached. Unless its connection
    is fast, the host may fetch from its own caches what it can.
    *deadline* in seconds. Raises CopyError, CommandMissingError. A copy that was cut
    short leaves whole paths only: Nix registers a path once it is complete.
    """
    substitute = not desired.fast_connection
    path = desired.derivation if derivation else desired.toplevel
    argv = copy_argv(path, desired.target, substitute=substitute, kind=desired.kind)
    try:
        _run(argv, config, deadline=deadline, on_line=on_line)
    except CommandTimeoutError as error:
        message = f"{desired.host}: {error}"
        raise CopyError(message, host=desired.host) from error
    except CommandError as error:
        message = f"{desired.host}: copying the system failed: {reason(error)}"
        raise CopyError(message, host=desired.host) from error


def try_copying(
    desired: Desired, there: StorePath, *, config: Path, deadline: float
) -> None:
    """
    Speak with the store of a host just as copying does, about a path that it has.

    So everything that copying needs is tried, and nothing is changed. Raises CopyError,
    CommandMissingError.
    """
    argv = ["nix-store", "--store", store_of(desired.target, desired.kind)]
    try:
        _run([*argv, "--check-validity", there], config, deadline=deadline)
    except CommandTimeoutError as error:
        message = f"{desired.host}: Nix cannot copy to it: {error}"
        raise CopyError(message, host=desired.host) from error
    except CommandError as error:
        message = f"{desired.host}: Nix cannot copy to it: {reason(error)}"
        raise CopyError(message, host=desired.host) from error


def _run(
    argv: Sequence[str],
    config: Path,
    *,
    deadline: float,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """
    Run a command of Nix that starts ssh, which is to read *config*.

    Nix before 2.26 splits NIX_SSHOPTS at each blank and knows no quotes, so the folder,
    which may have a name with blanks, is entered.
    """
    env = {"NIX_SSHOPTS": f"-F {config.name}"}
    process.run(
        argv,
        deadline=deadline,
        cwd=config.parent,
        env=env,
        on_line=on_line,
        memory=MEMORY,
    )


def reason(error: CommandError) -> str:
    """
    Return what a copy that failed said of the cause.

    When the far side gives up, its own words come first, and last comes only that the
    pipe broke.
    """
    lines = (line.strip() for line in error.stderr.splitlines())
    said = [line for line in lines if line and not _PROGRESS.match(line)]
    told = "; ".join(line.removeprefix("error: ") for line in dict.fromkeys(said))
    if _UNSIGNED.search(told):
        return f"{quote(told)}\n{_SIGN}"
    return quote(told) or f"exit status {error.status}"


def copy_argv(
    path: StorePath,
    target: Target,
    *,
    substitute: bool,
    kind: SystemKind = SystemKind.NIXOS,
) -> list[str]:
    """Return the command that copies *path* to the store of *target*."""
    if not _program(target, kind):
        options = ["--use-substitutes"] if substitute else []
        return ["nix-copy-closure", *options, "--to", _login(target), path]
    options = ["--substitute-on-destination"] if substitute else []
    nix = ["nix", "--extra-experimental-features", "nix-command"]
    if path.endswith(".drv"):  # itself, and not what it builds
        options.append("--derivation")
    to = ["--to", store_of(target, kind)]
    return [*nix, "copy", "--no-check-sigs", *options, *to, path]


def store_of(target: Target, kind: SystemKind = SystemKind.NIXOS) -> str:
    """Return the URL of the store of *target*, which has systems of a *kind*."""
    store = f"ssh://{_login(target)}"
    if not (words := _program(target, kind)):
        return store
    return f"{store}?remote-program={percent(' '.join(words), safe='')}"


def _program(target: Target, kind: SystemKind) -> tuple[str, ...]:
    """
    Return what is run on the far side; nothing where that is what Nix does itself.

    A store takes unsigned paths from root and from trusted users only, so for others
    the far side runs as root too. ``nix-copy-closure`` cannot be told to do so.
    """
    become = () if target.user == "root" else target.escalation
    if kind is SystemKind.SYSTEM_MANAGER:
        return (*become, "env", f"PATH={_PATH}", "nix-store")
    return (*become, "nix-store") if become else ()


def _login(target: Target) -> str:
    """
    Return user and address as Nix writes them in a URL, an IPv6 address in brackets.

    Never the address alone: Nix takes a bare "localhost" for itself.
    """
    address = target.address
    return (
        f"{target.user}@[{address}]" if ":" in address else f"{target.user}@{address}"
    )
