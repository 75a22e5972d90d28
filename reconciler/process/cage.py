"""
Where programs run that a commit names: without what is ours alone.

Bubblewrap gives them a view of this machine that they cannot write to, in which our own
folders and files are not, nor our processes. As root they are somebody else as well.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from reconciler.errors import ReconcilerError
from reconciler.process.commands import run

MEMORY = 1 << 30
"""Bytes for each process of such a program."""

NOBODY = 65534

_TRY_SECONDS = 10.0
_WHOLE = ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")
_TEMPORARY = ("--tmpfs", "/tmp")  # noqa: S108 -- its own
_OWN = ("--unshare-pid", "--unshare-ipc", "--die-with-parent", "--new-session")
_BECOME = ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cage:
    """What a program does not see, and what it may write to nevertheless."""

    hidden: tuple[Path, ...] = ()
    shown: tuple[Path, ...] = ()

    def around(self, argv: Sequence[str], *, folder: Path) -> tuple[str, ...]:
        """Return what runs *argv* in *folder*; *argv* itself if there is no cage."""
        if cage_problem() or _is_missing(argv[0]):
            return tuple(argv)
        hidden = [word for path in self.hidden for word in _hide(path)]
        shown = [word for path in self.shown for word in ("--bind-try", path, path)]
        where = ("--ro-bind", folder, folder, "--chdir", folder)
        words = (*_start(), *hidden, *shown, *where, "--", *as_nobody(), *argv)
        return tuple(map(str, words))


@lru_cache(maxsize=1)
def cage_problem() -> str:
    """Return why programs run without a cage on this machine; empty if they do not."""
    lacking = [name for name in ("bwrap", "setpriv") if not shutil.which(name)]
    if os.geteuid() != 0:
        lacking = [name for name in lacking if name == "bwrap"]
    if lacking:
        package = {"bwrap": "bubblewrap", "setpriv": "util-linux"}[lacking[0]]
        return f"{lacking[0]} was not found on PATH: install {package}"
    try:
        run((*_start(), "--", *as_nobody(), "true"), deadline=_TRY_SECONDS)
    except ReconcilerError as error:
        return str(error)
    return ""


def _is_missing(program: str) -> bool:
    """Whether the program itself is to tell so, and not the cage."""
    return "/" not in program and shutil.which(program) is None


def _start() -> Iterator[str]:
    yield from ("bwrap", *_OWN, *_WHOLE, *_TEMPORARY)
    if os.geteuid() == 0:
        yield from _BECOME


def as_nobody() -> tuple[str, ...]:
    """Return what to put before a command that root starts for somebody else."""
    if os.geteuid() != 0:
        return ()
    who = ("--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups")
    return ("setpriv", *who, "--bounding-set=-all", "--inh-caps=-all", "--")


def _hide(path: Path) -> tuple[str, ...]:
    """Put an empty folder, or an empty file, in the place of what stands there."""
    real = path.resolve()
    if real.is_dir():
        return ("--tmpfs", str(real))
    return ("--ro-bind", os.devnull, str(real)) if real.exists() else ()
