"""Builds of desired systems, and what their failures mean."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from reconciler import process
from reconciler.desired import messages
from reconciler.desired.nix import Nix
from reconciler.desired.platforms import ways_out
from reconciler.errors import (
    BuildError,
    CommandError,
    CommandTimeoutError,
    TemporaryError,
    quote,
)
from reconciler.model import Desired

_LOG_DEADLINE = 30.0  # seconds


_NOT_THERE = re.compile(r"\.drv' (?:is not valid|does not exist)|\.drv' is not a valid")


_NOBODY_BUILDS = re.compile(
    r"is required to build '/|required system or feature not available|Failed to find"
    " a machine for remote build"
)


class CollectedError(BuildError):
    """A derivation was garbage-collected before it was built."""


def still_valid(desired: Desired) -> bool:
    """Say whether garbage collection has left the derivation, or what it built."""
    return Path(desired.derivation).exists() or Path(desired.toplevel).exists()


def realise(
    nix: Nix, desired: Desired, *, root: Path, on_line: Callable[[str], None] | None
) -> None:
    """Build *desired* and keep it by the symlink *root*; raises BuildError."""
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        nix.realise(desired.derivation, root=root, on_line=on_line)
    except CommandTimeoutError as error:
        raise _too_long(desired, error) from error
    except CommandError as error:
        raise _failure(desired, error, _log_of) from error
    except OSError as error:
        message = f"{root.parent}: cannot keep the build there: {error.strerror}"
        raise BuildError(message, host=desired.host) from error
    if desired.derivation != desired.toplevel:  # else somebody else built it
        _sign(nix, desired)


def _sign(nix: Nix, desired: Desired) -> None:
    """Sign what was built, if the settings name a key."""
    try:
        nix.sign(desired.toplevel)
    except CommandError as error:
        message = (
            "it is built, and cannot be signed with nix.signing_key"
            f" ({nix.settings.signing_key}): {messages.error_text(error.stderr)}"
        )
        raise BuildError(message, host=desired.host) from error


class Way(Protocol):
    """What has a host build; part of `reconciler.remote.Transport`."""

    def build(
        self,
        desired: Desired,
        *,
        root: str,
        deadline: float,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Build; raises CommandError, CommandTimeoutError, ConnectError."""

    def read_log(self, desired: Desired, derivation: str, *, deadline: float) -> str:
        """Return what the builder of *derivation* printed; raises what reading does."""


def realise_there(
    way: Way,
    desired: Desired,
    *,
    root: str,
    deadline: float,
    on_line: Callable[[str], None] | None,
) -> None:
    """Have the host build *desired* and keep it by its *root*; raises BuildError."""

    def log_of(derivation: str) -> str:
        with contextlib.suppress(TemporaryError):
            return way.read_log(desired, derivation, deadline=_LOG_DEADLINE)
        return ""

    try:
        way.build(desired, root=root, deadline=deadline, on_line=on_line)
    except CommandTimeoutError as error:
        raise _too_long(desired, error, " on the host") from error
    except CommandError as error:
        raise _failure(desired, error, log_of, " on the host") from error


def _too_long(
    desired: Desired, error: CommandTimeoutError, where: str = ""
) -> BuildError:
    message = (
        f"the build{where} did not end within {error.seconds:g} s and was stopped: "
        "raise nix.build_timeout if it needs longer"
    )
    return _error(desired, message, error)


def _failure(
    desired: Desired,
    error: CommandError,
    log_of: Callable[[str], str],
    where: str = "",
) -> BuildError:
    # A host has its own copy, whatever became of ours while it was building.
    gone = not (where or Path(desired.derivation).exists())
    if gone or _NOT_THERE.search(error.stderr):
        message = (
            f"{desired.derivation} was garbage-collected{where} before it was built: "
            "it must be evaluated again"
        )
        return CollectedError(message, host=desired.host, log=quote(error.stderr))
    derivation = messages.failed_derivation(error.stderr)
    if derivation is None:
        return _error(desired, messages.error_text(error.stderr), error)
    log = log_of(derivation) or error.stderr
    name = messages.derivation_name(derivation)
    message = f"{name} failed to build{where} ({derivation})"
    return BuildError(message, host=desired.host, log=quote(log))


def _error(desired: Desired, message: str, error: CommandError) -> BuildError:
    if _NOBODY_BUILDS.search(error.stderr):
        message = f"{quote(message)}\nTo have it built: {ways_out(desired.platform)}"
        return BuildError(message, host=desired.host, log=quote(error.stderr))
    return BuildError(quote(message), host=desired.host, log=quote(error.stderr))


def _log_of(derivation: str) -> str:
    """Return what the builder printed; nothing if Nix kept no log of it."""
    with contextlib.suppress(TemporaryError):
        argv = ("nix-store", "--read-log", derivation)
        return process.run(argv, deadline=_LOG_DEADLINE).stdout
    return ""
