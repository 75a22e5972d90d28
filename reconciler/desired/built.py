"""
What an evaluation read that was built for it (import from derivation).

What a build reads no trace of the evaluation tells: a daemon builds, or it was built
before. Where it reads the copy of a flake's tree, its derivation names that.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from reconciler import process
from reconciler.desired.ground import STORE_PATH
from reconciler.desired.trace import Trace

DEADLINE = 60.0
"""Seconds for asking the store where some hundred paths come from."""

_AT_ONCE = 500  # as many as fit into a command's arguments
_NEVER_BUILT = (".drv", ".lock", ".chroot")


def derivations(trace: Trace, copy: str, options: Sequence[str]) -> list[str]:
    """
    Return the derivations that what was read in the store was built by.

    But for those that are not there: they are not of this evaluation, which writes all
    of its own. *copy* is the flake's own tree. Raises CommandError.
    """
    paths = sorted(set(_read(trace)) - {copy})
    found: set[str] = set()
    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start : start + _AT_ONCE]
        argv = ("nix-store", *options, "--query", "--deriver", *some)
        found.update(process.run(argv, deadline=DEADLINE).stdout.split())
    return sorted(path for path in found if Path(path).exists())


def _read(trace: Trace) -> Iterator[str]:
    for access in trace.accesses:
        match = STORE_PATH.match(access.path) if access.there else None
        if match and not match[0].endswith(_NEVER_BUILT) and os.path.lexists(match[0]):
            yield match[0]
