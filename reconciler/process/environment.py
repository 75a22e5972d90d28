"""What of our own environment a program may see that runs for somebody else."""

import os
from collections.abc import Mapping, Sequence

_KEPT = frozenset(
    {
        "HOME",
        "LANG",
        "LOCALE_ARCHIVE",
        "LOGNAME",
        "PATH",
        "SSL_CERT_FILE",
        "TMPDIR",
        "TZ",
        "TZDIR",
        "USER",
    }
)
_KEPT_KINDS = ("LC_", "NIX_", "NIXPKGS_", "XDG_")

_OF_ONE_START = frozenset(
    {
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "MAINPID",
        "MANAGERPID",
        "MEMORY_PRESSURE_WATCH",
        "MEMORY_PRESSURE_WRITE",
        "NOTIFY_SOCKET",
        "OLDPWD",
        "SHLVL",
        "SYSTEMD_EXEC_PID",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "_",
    }
)
"""What systemd and shells tell each start of a program, anew each time."""


def with_little_environment(
    argv: Sequence[str], variables: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """
    Return a command that runs *argv* without what our environment has for us alone.

    Tokens and passwords are given to daemons there. Only names are arguments here, and
    *variables*, which are set: everybody sees those.
    """
    given = [f"{name}={value}" for name, value in sorted((variables or {}).items())]
    names = [name for name in os.environ if not _is_kept(name)]
    return _without([*given, *argv], names)


def with_steady_environment(argv: Sequence[str]) -> tuple[str, ...]:
    """Return a command that runs *argv* without what each start of ours has anew."""
    return _without(argv, [name for name in os.environ if name in _OF_ONE_START])


def environment_seen(*, trusted: bool) -> Mapping[str, str]:
    """Return what a command of `with_steady_environment` sees, or the other one."""
    if trusted:
        return {k: v for k, v in os.environ.items() if k not in _OF_ONE_START}
    return {k: v for k, v in os.environ.items() if _is_kept(k)}


def _without(argv: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    return ("env", *(word for name in sorted(names) for word in ("-u", name)), *argv)


def _is_kept(name: str) -> bool:
    return name in _KEPT or name.startswith(_KEPT_KINDS)
