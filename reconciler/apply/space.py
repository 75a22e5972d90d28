"""See before a copy that a system has room on its host."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

from reconciler import process
from reconciler.errors import CopyError, FactError
from reconciler.model import HostName, StorePath
from reconciler.remote import HostReader

QUERY_DEADLINE = 120.0  # seconds; a closure has thousands of paths
ASK_DEADLINE = 120.0
_BATCH = 500  # paths in one command line; the kernel's limit is 2 MiB for all
_FREE = re.compile(r"free (\d{1,19}) (\d{1,19})", re.ASCII)
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a system needs on a host, and what there is; bytes."""

    need: int  # of the paths that the host lacks; roughly what the disk will say
    free: int


def require_room(
    reader: HostReader, host: HostName, path: StorePath, *, keep: int
) -> Room:
    """
    Return what *path*, a system that is built here, or a derivation, needs on *host*.

    Raises CopyError unless *keep* bytes stay free there; CommandError, FactError, and
    what the reader raises.
    """
    room = look_for_room(reader, path)
    if room.need and room.need + keep > room.free:
        what = "what builds the system" if path.endswith(".drv") else "the system"
        message = (
            f"{host}: the store has no room: {what} needs"
            f" {told(room.need)} more, {told(room.free)} are free, and {told(keep)} of"
            " them are to stay so (policy.min_free); collect garbage on the host, or"
            " give it more space"
        )
        raise CopyError(message, host=host)
    return room


def look_for_room(reader: HostReader, path: StorePath) -> Room:
    """Ask Nix here what the closure is, and the host, once, what it lacks of it."""
    closure = _query("--requisites", [path])
    text = reader.read(_script(closure), what="free space", deadline=ASK_DEADLINE)
    *lacking, last = text.splitlines() or [""]
    match = _FREE.fullmatch(last)
    if match is None or not set(lacking) <= set(closure):
        message = f"{reader.host}: what it says of its store is not understood"
        raise FactError(message)
    blocks, size = map(int, match.groups())
    return Room(need=sum(_sizes(lacking).values()), free=blocks * size)


def _script(closure: Iterable[str]) -> str:
    body = resources.files(__package__).joinpath("space.sh").read_text("utf-8")
    return body.replace("@paths@", "\n".join(closure))


def _sizes(paths: list[str]) -> Mapping[str, int]:
    """Return the bytes of each path as Nix has registered them."""
    told_sizes = _query("--size", paths)
    return dict(zip(paths, map(int, told_sizes), strict=True))


def _query(what: str, paths: list[str] | list[StorePath]) -> list[str]:
    found: list[str] = []
    for batch in _batches(paths):
        argv = ["nix-store", "--query", what, *batch]
        found += process.run(argv, deadline=QUERY_DEADLINE).stdout.splitlines()
    return found


def _batches(paths: list[str] | list[StorePath]) -> Iterator[list[str]]:
    for start in range(0, len(paths), _BATCH):
        yield [*paths[start : start + _BATCH]]


def told(size: float) -> str:
    """Say a number of bytes for people: 1.2 GiB."""
    for unit in _UNITS:
        if size < _STEP or unit == _UNITS[-1]:
            break
        size /= _STEP
    return f"{size:.0f} {unit}" if unit in _UNITS[:2] else f"{size:.1f} {unit}"
