"""
What an evaluation read that its commit does not pin, and what that was.

An entry of the search path, such as a channel; and what was fetched without a hash. Of
the first it is known where it is, of the second what Nix made of it in the store.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from reconciler.desired import fingerprint, which_commit
from reconciler.desired.ground import STORE, Ground
from reconciler.desired.spared import FETCHED, is_own_note
from reconciler.desired.trace import LIST, READ, Trace
from reconciler.model import FETCHED_INPUT

UNKNOWN = "not known: nothing is traced"

_CALLS = r"\b(?:fetchTarball|fetchGit|fetchMercurial|fetchTree|builtins\.fetchurl)\b"
_PLACES = 5
_VERSIONS = (".version", "lib/.version")
_SHORT = 12


def inputs(
    trace: Trace | None, ground: Ground, entries: Sequence[str], *, ours: Path
) -> dict[str, str]:
    """
    Return what was read outside of the commit, by name: what it was, for people.

    *entries* are those of the search path, *ours* the folder of our own Nix files.
    Where nothing was traced, all of that may have been read.
    """
    places = dict(_local(entries))
    if trace is None:
        told = {name: _told(place) for name, place in places.items()}
        return {**told, FETCHED_INPUT: UNKNOWN}
    paths = {access.path for access in trace.accesses if access.there}
    found = {
        name: _told(place) for name, place in places.items() if _is_read(place, paths)
    }
    if any(_is_of_fetching(trace, access.path) for access in trace.accesses):
        ends = (place.resolve() for place in places.values())
        known = {*ends, Path(ground.copy), ours}
        found[_called(trace, ground)] = _fetched(trace, known)
    return found


def _local(entries: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Yield the entries that are folders of this machine, as Nix names them."""
    for entry in entries:
        name, equals, place = entry.partition("=")
        if not equals or "/" in name:
            name, place = "", entry
        if place.startswith(("/", "~")):
            named = f"<{name}>" if name else place
            yield named, Path(place).expanduser()


def _is_read(place: Path, paths: Iterable[str]) -> bool:
    """Say whether one of *paths* is below *place*, by its name or where it leads to."""
    begins = (f"{place}/", f"{place.resolve()}/")
    return any(path.startswith(begins) for path in paths)


def _told(place: Path) -> str:
    """Return which one it is: its version, its commit, where it lies."""
    real = place.resolve()
    version = next(filter(None, (_text(real / name) for name in _VERSIONS)), "")
    version += _text(real / ".version-suffix")
    commit = _text(real / ".git-revision") or fingerprint.commit_of(real)
    if not commit and not real.is_relative_to(STORE):
        commit = fingerprint.of_place(real)
    return " ".join(filter(None, (version, commit[:_SHORT], str(real))))


def _text(file: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text(encoding="utf-8").strip()
    return ""


def _is_of_fetching(trace: Trace, path: str) -> bool:
    return FETCHED.search(path) is not None and not is_own_note(trace, path)


def _called(trace: Trace, ground: Ground) -> str:
    """Return what is fetched by where the repository does so."""
    places = which_commit.places(trace, ground, re.compile(_CALLS))
    found = [place for place, _ in zip(places, range(_PLACES), strict=False)]
    return f"{FETCHED_INPUT} in {', '.join(found)}" if found else FETCHED_INPUT


def _fetched(trace: Trace, known: set[Path]) -> str:
    """Return what was read in the store that is none of what is *known*."""
    read = {
        Path(*Path(access.path).parts[: len(Path(STORE).parts) + 1])
        for access in trace.accesses
        if access.there
        and access.how in {READ, LIST}
        and not access.foreign
        and access.path.startswith(f"{STORE}/")
    }
    # What is no folder is what was downloaded, before it was unpacked.
    left = sorted(path for path in read - known if path.is_dir())
    return ", ".join(map(_told, left)) or "not known"
