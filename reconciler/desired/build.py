"""Builds of desired systems, and what their failures mean."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

from reconciler import process
from reconciler.desired import messages
from reconciler.desired.nix import Nix
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
        message = (
            f"the build did not end within {error.seconds:g} s and was stopped: "
            "raise nix.build_timeout if it needs longer"
        )
        raise _error(desired, message, error) from error
    except CommandError as error:
        raise _failure(desired, error) from error
    except OSError as error:
        message = f"{root.parent}: cannot keep the build there: {error.strerror}"
        raise BuildError(message, host=desired.host) from error


def _failure(desired: Desired, error: CommandError) -> BuildError:
    gone = not Path(desired.derivation).exists()
    if gone or _NOT_THERE.search(error.stderr):
        message = (
            f"{desired.derivation} was garbage-collected before it was built: "
            "it must be evaluated again"
        )
        return CollectedError(message, host=desired.host, log=quote(error.stderr))
    derivation = messages.failed_derivation(error.stderr)
    if derivation is None:
        return _error(desired, messages.error_text(error.stderr), error)
    log = _log_of(derivation) or error.stderr
    message = f"{messages.derivation_name(derivation)} failed to build ({derivation})"
    return BuildError(message, host=desired.host, log=quote(log))


def _error(desired: Desired, message: str, error: CommandError) -> BuildError:
    return BuildError(quote(message), host=desired.host, log=quote(error.stderr))


def _log_of(derivation: str) -> str:
    """Return what the builder printed; nothing if Nix kept no log of it."""
    with contextlib.suppress(TemporaryError):
        argv = ("nix-store", "--read-log", derivation)
        return process.run(argv, deadline=_LOG_DEADLINE).stdout
    return ""
