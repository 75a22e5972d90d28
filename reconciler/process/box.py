"""
Where a program runs that sees nothing but what it is given.

Bubblewrap builds it a machine of its own: the programs and libraries of this one, the
files that are named, a temporary folder, and neither network nor other processes.
A way out there is where one is made for it (`reconciler.desired.gate`).
(`cage` is for programs that see all but what is ours alone.)
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from reconciler.errors import ReconcilerError
from reconciler.process.commands import run
from reconciler.process.environment import with_little_environment

PROCESSES = 1024
"""How many a program in a box may start."""

TEMPORARY_BYTES = 4 << 30
"""What it may write to its temporary folder, which is memory."""

TEMPORARY = Path("/tmp")  # noqa: S108 -- its own

STORE = Path("/nix")

_TRY_SECONDS = 10.0
_LINKS = 40  # as the kernel has it
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_CONFIGURATION = (
    "/etc/ssl/certs",  # and not what is private beside them
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust",
    "/etc/ca-certificates",
    "/etc/static",  # of NixOS, a link into the store
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
)
_OF_FETCHING = (  # no names are looked up inside
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/passwd",
    "/etc/group",
    "/etc/ssh/ssh_known_hosts",
)
_OWN = (
    *("--unshare-user-try", "--unshare-pid", "--unshare-ipc", "--unshare-net"),
    *("--cap-drop", "ALL", "--die-with-parent", "--as-pid-1"),
)
_FIRST = ("/bin/sh", "-c", '"$@"; exit', "sh")
"""
The first process: only of that, and of what it started, are we told how much memory it
took. Not the program itself: the kernel has no crash end the first one while that is
traced.
"""

_EMPTY = ("--size", "4096", "--tmpfs")
_FRESH_PROC = ("--proc", "/proc")


def limits(
    *, memory: int | None = None, processes: int | None = None
) -> tuple[str, ...]:
    """
    Return what to put before a command none of whose processes gets more *memory*.

    In bytes. *processes* is how many there may be, which root is not held to.
    """
    # Before anything is started: a limit set from outside might come too late.
    words = [] if memory is None else [f"ulimit -d {memory >> 10}"]
    if processes is not None:  # bash, and dash
        words.append(f"ulimit -u {processes} 2>/dev/null || ulimit -p {processes}")
    return ("/bin/sh", "-c", "; ".join([*words, 'exec "$@"']), "sh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What a program sees, what it may write to, and whether it fetches."""

    seen: tuple[Path, ...] = ()
    written: tuple[Path, ...] = ()
    covered: tuple[Path, ...] = ()  # folders in these that are empty there
    placed: tuple[tuple[Path, Path], ...] = ()  # what is here, and where it is there
    fetches: bool = False  # and reads who it is, and which hosts are known
    processes: int = PROCESSES  # root may start as many as it likes

    def around(
        self, argv: Sequence[str], variables: Mapping[str, str] | None = None
    ) -> tuple[str, ...]:
        """
        Return what runs *argv*, with *variables* set; see `box_problem`.

        Folders that are not there are left out.
        """
        words = [*_OWN, "--dev", "/dev", *_proc()]
        words += ["--size", str(TEMPORARY_BYTES), "--tmpfs", str(TEMPORARY)]
        if (home := _home()) is not None:
            words += ["--tmpfs", str(home)]
        own = {"TMPDIR": str(TEMPORARY), "USER": "reconciler", **(variables or {})}
        if "HOME" not in os.environ:  # Nix would ask /etc/passwd, which is not there
            own["HOME"] = str(Path.home())
        boxed = ["bwrap", *words, *self._mounts(), "--remount-ro", "/", "--"]
        boxed += [*_FIRST, *argv]
        bounds = limits(processes=self.processes)
        return with_little_environment([*bounds, *boxed], own)

    def hides(self) -> Callable[[str], bool]:
        """Return what says whether an absolute path is no file of this machine."""
        links: dict[Path, str] = {}
        named = {*self._named(), *(_followed(path, links) for path in self._named())}
        seen = {str(path) for path in (*named, *links) if path is not None}
        above = {str(one) for path in seen for one in Path(path).parents}
        exact, below = seen | above, tuple(f"{path}/" for path in seen)
        covers = {str(path) for one in self.covered for path in (one, one.resolve())}
        under = tuple(f"{path}/" for path in covers)

        def is_hidden(path: str) -> bool:
            if path in covers or path.startswith(under):
                return True
            return path not in exact and not path.startswith(below)

        return is_hidden

    def shows(self, path: Path) -> bool:
        """Say whether a program in it can see what is at *path*."""
        real = path.resolve()
        places = (*self._named(), Path("/dev"))
        return any(
            real.is_relative_to(place.resolve()) for place in places
        ) and not any(real.is_relative_to(place.resolve()) for place in self.covered)

    def _named(self) -> tuple[Path, ...]:
        more = _OF_FETCHING if self.fetches else ()
        system = (Path(name) for name in (*_SYSTEM, *_CONFIGURATION, *more))
        return (*system, *self.seen, *self.written)

    def _mounts(self) -> list[str]:
        links: dict[Path, str] = {}
        written = {_followed(path, links) for path in self.written}
        named = {_followed(path, links) for path in self._named()}
        places = sorted(place for place in named if place is not None)
        words = [str(word) for pair in self.placed for word in ("--ro-bind", *pair)]
        for place in places:
            around = [one for one in places if one in place.parents]
            if not around or (around[-1] in written) != (place in written):
                bind = "--bind" if place in written else "--ro-bind"
                words += [bind, str(place), str(place)]
        for link, target in sorted(links.items()):
            if not any(link.is_relative_to(place) for place in places):
                words += ["--symlink", target, str(link)]
        return [*words, *self._covers(places)]

    def _covers(self, places: Sequence[Path]) -> Iterator[str]:
        """Yield what puts an empty folder over each that would be seen."""
        for folder in sorted({one.resolve() for one in self.covered}):
            if folder.is_dir() and any(folder.is_relative_to(one) for one in places):
                yield from (*_EMPTY, str(folder), "--remount-ro", str(folder))


def way_to(path: Path) -> tuple[Path, ...]:
    """Return where *path* leads to and the links on the way; none if it is nowhere."""
    links: dict[Path, str] = {}
    end = _followed(path, links)
    return () if end is None else (end, *links)


def leads_into(path: Path, folder: Path) -> bool:
    """Say whether *path* is in *folder*, or leads to or through it."""
    way, places = way_to(path), {folder, folder.resolve()}
    return any(one.is_relative_to(place) for one in way for place in places)


def folders_of_program(name: str) -> tuple[Path, ...]:
    """Return where the program *name* is, with what it may need beside it."""
    found = shutil.which(name)
    if found is None:
        return ()
    folder = Path(found).absolute().parent
    real = Path(found).resolve().parent
    beside = (real.parent / other for other in ("lib", "libexec"))
    return (folder, real, *beside) if real.parent != Path("/") else (folder,)


@lru_cache(maxsize=1)
def box_problem() -> str:
    """Return why there can be no box on this machine; empty if there can."""
    if not shutil.which("bwrap"):
        return "bwrap was not found on PATH: install bubblewrap"
    # On NixOS every program is in the store.
    return _fails(Box(seen=(STORE,)).around(["true"]))


def _fails(argv: Sequence[str]) -> str:
    try:
        run(argv, deadline=_TRY_SECONDS)
    except ReconcilerError as error:
        return str(error)
    return ""


@lru_cache(maxsize=1)
def _proc() -> tuple[str, ...]:
    """
    Return what makes ``/proc``: of its own processes, or nothing but its program.

    Where parts of our ``/proc`` are covered, as in hardened units and containers, the
    kernel makes no other.
    """
    binds = ("--ro-bind", "/", "/", "--dev", "/dev")
    if shutil.which("bwrap") and not _fails(
        ["bwrap", *_OWN, *binds, *_FRESH_PROC, "--", "true"]
    ):
        return _FRESH_PROC
    program = shutil.which("nix-instantiate") or shutil.which("true") or "/bin/true"
    # Newer versions of Nix ask for their own name.
    return ("--tmpfs", "/proc", "--symlink", program, "/proc/self/exe")


def _home() -> Path | None:
    """Return the home folder, which is empty there; None if that cannot be."""
    home = Path(os.environ.get("HOME", ""))
    taken = (*map(Path, _SYSTEM), Path("/etc"), Path("/nix"), Path("/dev"), TEMPORARY)
    if not home.is_absolute() or home == Path("/"):
        return None
    inside = (home.is_relative_to(place) for place in taken)
    return None if any(inside) or home.is_symlink() else home


def _followed(path: Path, links: dict[Path, str]) -> Path | None:
    """
    Return where *path* really is, and note the links on the way.

    None for what is not there, and for the root, which holds everything.
    """
    place, rest = Path("/"), list(path.parts[1:])
    found: dict[Path, str] = {}
    while rest:
        place = place.parent if (name := rest.pop(0)) == ".." else place / name
        if not place.is_symlink():
            continue
        found[place] = target = str(place.readlink())
        if len(found) > _LINKS:
            return None
        aim = Path(target)
        place = Path("/") if aim.is_absolute() else place.parent
        rest = [part for part in aim.parts if part != "/"] + rest
    if place == Path("/") or not place.exists():
        return None
    links.update(found)
    return place
