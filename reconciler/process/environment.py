"""What of our own environment a program may see that runs for somebody else."""

import os
from collections.abc import Sequence

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
_KEPT_KINDS = ("LC_", "NIX_", "XDG_")


def with_little_environment(argv: Sequence[str]) -> tuple[str, ...]:
    """
    Return a command that runs *argv* without what our environment has for us alone.

    Tokens and passwords are given to daemons there. Only names are arguments here,
    since everybody sees those.
    """
    names = [name for name in os.environ if not _is_kept(name)]
    return ("env", *(word for name in sorted(names) for word in ("-u", name)), *argv)


def _is_kept(name: str) -> bool:
    return name in _KEPT or name.startswith(_KEPT_KINDS)
