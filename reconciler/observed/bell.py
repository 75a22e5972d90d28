"""What a host runs while we are connected, so that it says when to look again."""

import functools
import shlex
from collections.abc import Iterable
from importlib import resources
from posixpath import normpath

from reconciler.observed.keys import is_key_path

BEAT = 12.0
"""Seconds between two signs of life."""

READY = "ready"
"""Said once: from now on it rings."""
LOOK = "look"
"""Said whenever something may have changed."""

WATCHED = (
    "/etc/systemd/system",
    "/etc/systemd/system.control",
    "/nix/var/nix/profiles",
    "/nix/var/nix/profiles/system-manager-profiles",
    "/run/nixos",  # where a switch has its lock
    "/run/systemd/system",
    "/run/systemd/system.control",
)
"""Where something may change of which systemd learns nothing, or only later."""


def bell(paths: Iterable[str]) -> str:
    """Return the sh script that rings; also for the folders of files at *paths*."""
    folders = {path.rpartition("/")[0] for path in paths if is_key_path(path)}
    # systemd takes no other path, and a folder too little costs no more than a while.
    plain = {one for one in folders if one and normpath(one) == one}
    words = shlex.join(sorted({*WATCHED, *plain}))
    return f"beat={BEAT:g}\nset -- {words}\n{_body()}"


@functools.cache
def _body() -> str:
    package = resources.files("reconciler.observed")
    return package.joinpath("bell.sh").read_text(encoding="utf-8")
