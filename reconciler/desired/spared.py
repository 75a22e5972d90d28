"""
Which evaluations need not be done again.

An evaluation looked at files, and depends on settings, the environment and the version
of Nix. While all that is as it was, so is its answer. Whatever is not understood in a
trace has it done again each time, and the reason is told.
"""

import functools
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from reconciler.desired import which_commit
from reconciler.desired.fetched import NOTES
from reconciler.desired.ground import MISSING, STORE, Ground
from reconciler.desired.trace import LINK, LIST, LOOK, READ, Access, Trace
from reconciler.model import LookedAt

Item = tuple[str, str, str]
"""How a path was asked for, the path (relative in the checkout), and what was there."""

REASONS_LIMIT = 5
"""Differences that are told; one is enough to evaluate."""

NEVER = "it was not evaluated before, or not since what it looked at is written down"

LIST_OF_HOSTS = "the list of hosts"
"""What an answer depends on only if its evaluation asked for it."""

_LIST = "/reconciler/desired/nix/the-list-of-hosts"  # see layout-hosts.nix
_RACE_SECONDS = 0.05  # times of files are as coarse as the kernel's clock
_TEXT_LIMIT = 8 << 20

_STATE = os.environ.get("NIX_STATE_DIR", "/nix/var/nix")
_OWN = (f"{STORE}/", f"{_STATE}/", "/dev/", "/sys/", "/proc/", "/nix/var/log/")
_LINKED = tuple(f"{_STATE}/{name}" for name in ("profiles", "gcroots"))
"""Of what Nix has there, what a search path may lead through."""

_OF_NIX = re.compile(  # what Nix itself reads there, at each start
    r"/proc/(self|\d+)/(maps|exe|root|ns/\w+|stat|status|mounts|mountinfo|cgroup|fd.*"
    r"|task.*|oom_score_adj|uid_map|gid_map|setgroups|comm|auxv)"
    r"|/proc/(stat|mounts|cpuinfo|meminfo|filesystems|sys/.*)?|/proc/(self|\d+)"
)
FETCHED = re.compile(
    r"/nix(?:-cache)?/(fetcher-cache-|gitv\d|tarball-cache|git(-lfs)?/|hg/|flake-registry|tarballs/)"
)
"""What Nix looks at where it fetches."""

_FETCHES = (
    "it fetches something that no hash in the repository pins, or that is not in the"
    " store yet"
)
_CLOCK = b"currentTime"
_BY_ITSELF = (b"getFlake", b"fetchTree")
"""With which a flake that is not pure may ask Nix which commit it is itself."""

_NO_CLOCKS = ("sandbox.nix", "relaxedsandbox.nix", "multiuser.nix")
"""Of ``nix-info``, in every NixOS: copied to the store as they are, not evaluated."""


class Memory(Protocol):
    """What remembers evaluations, for many threads and across restarts."""

    def looked_at(self, subject: str) -> list[LookedAt]:
        """Return the last evaluations of *subject*, newest first."""
        ...

    def groups(self, digests: Sequence[str]) -> Mapping[str, str]:
        """Return the texts of groups by digest, of those that are there."""
        ...

    def sizes(self) -> Mapping[str, int]:
        """Return the bytes of memory that the last evaluation of each host took."""
        ...

    def answer(self, key: str) -> str | None:
        """Return the answer of an evaluation; None if it is gone."""
        ...

    def remember(
        self, one: LookedAt, groups: Mapping[str, str], text: str | None = None
    ) -> None:
        """Keep an evaluation, with the texts of its groups, and that of its answer."""
        ...


# --- comparing -------------------------------------------------------------------


class Comparison:
    """Compares remembered evaluations with one commit, each group once."""

    def __init__(self, memory: Memory, ground: Ground) -> None:
        self.ground = ground
        self._memory = memory
        self._groups: dict[str, tuple[str, ...]] = {}

    def unchanged(
        self, subject: str, base: Mapping[str, str]
    ) -> tuple[str, tuple[str, ...]]:
        """
        Return the key of an answer that still holds, and why none does.

        One of both is empty.
        """
        first: tuple[str, ...] = ()
        for one in self._memory.looked_at(subject):
            reasons = tuple(self._differences(one, base))
            if not reasons:
                return one.answer, ()
            first = first or reasons
        return "", first or (NEVER,)

    def _differences(self, one: LookedAt, base: Mapping[str, str]) -> Iterator[str]:
        """Yield the first differences that there are."""
        if one.puzzle:
            yield one.puzzle
            return
        if one.checkout and one.checkout != str(self.ground.checkout):
            yield "its result names the folder of the commit's checkout"
            return
        known = {*base} if LIST_OF_HOSTS in one.base else {*base} - {LIST_OF_HOSTS}
        names = sorted({*one.base, *known})
        other = [name for name in names if one.base.get(name) != base.get(name)]
        if other:
            yield from (f"{name} differs" for name in other[:REASONS_LIMIT])
            return
        new = [digest for digest in one.groups if digest not in self._groups]
        texts = self._memory.groups(new) if new else {}
        for digest in new:
            text = texts.get(digest)
            self._groups[digest] = tuple(self._changed(text)) if text else (NEVER,)
        yield from next(filter(None, map(self._groups.__getitem__, one.groups)), ())

    def _changed(self, text: str) -> Iterator[str]:
        told: dict[str, None] = {}
        for how, path, state in json.loads(text):
            if self.ground.state(how, path) != state:
                told[_difference(path, state, self.ground.state(how, path))] = None
        yield from list(told)[:REASONS_LIMIT]


def _difference(path: str, before: str, now: str) -> str:
    if before == MISSING:
        return f"{path} is there now"
    return f"{path} is gone" if now == MISSING else f"{path} differs"


def asks_for_hosts(trace: Trace) -> bool:
    """Say whether an evaluation asked which hosts there are."""
    return any(access.path.endswith(_LIST) for access in trace.accesses)


# --- remembering -----------------------------------------------------------------


def learned(
    trace: Trace,
    ground: Ground,
    *,
    read_here: Iterable[str] = (),
    is_pure: bool = False,
) -> tuple[dict[str, str], str]:
    """
    Return what a trace tells, as texts of groups by digest, and what puzzles in it.

    *read_here* are files that we read ourselves for the answer. An evaluation that
    *is_pure* can tell no time.
    """
    told = which_commit.told(trace, ground)
    if told:
        return {}, told
    reader = _Reader(trace, ground, is_pure=is_pure)
    for access in sorted(trace.accesses, key=lambda one: (one.path, one.how)):
        reader.take(access)
    for path in read_here:
        if path.startswith("/"):
            reader.take(Access(path, READ, Path(path).exists()))
    return grouped(reader.items), next(iter([*trace.puzzles, *reader.puzzles]), "")


def grouped(items: Iterable[Item]) -> dict[str, str]:
    """Return *items* as texts by their digests, those of each folder in one."""
    folders: dict[str, list[Item]] = {}
    for item in sorted(set(items)):
        folders.setdefault(item[1].rpartition("/")[0], []).append(item)
    texts = [json.dumps(group, separators=(",", ":")) for group in folders.values()]
    return {hashlib.sha256(text.encode()).hexdigest()[:32]: text for text in texts}


class _Reader:
    """Turns accesses into items."""

    def __init__(self, trace: Trace, ground: Ground, *, is_pure: bool) -> None:
        self._trace = trace
        self._is_pure = is_pure
        self._ground = ground
        self._beside = f"{ground.checkout.parent}/"
        self.items: list[Item] = []
        self.puzzles: list[str] = []
        made = sorted(trace.made)
        self._own = tuple(path for path in made if not self._is_kept(path))

    def _is_kept(self, path: str) -> bool:
        """Say whether what it wrote to is there still, and note that it did."""
        if (
            is_own_note(self._trace, path)
            or path.startswith(_OWN)
            or (self._trace.hides(path) and not FETCHED.search(path))
        ):
            return False
        if FETCHED.search(path):
            self._puzzle(_FETCHES)
        elif self._ground.inside(path) is not None or os.path.lexists(path):
            self._puzzle(f"it writes to {path}")
            return True
        return False

    def take(self, access: Access) -> None:
        """Add what *access* tells."""
        path = access.path
        if is_own_note(self._trace, path):
            return
        if self._trace.hides(os.path.normpath(path)) and not FETCHED.search(path):
            return
        if access.how == READ and access.there and not self._is_pure:
            self._puzzle_over(path)
        if FETCHED.search(path):
            self._puzzle(_FETCHES)
        elif not self._is_nobodys(access):
            self._add(access)

    def _puzzle_over(self, path: str) -> None:
        """Tell of what no call shows and a file that was read may do."""
        if _tells_the_time(path):
            self._puzzle(f"{self._shown(path)} asks for the current time")
        if self._ground.copy and self._ground.inside(path) is not None:
            word = next((one for one in _BY_ITSELF if _names_word(path, one)), b"")
            if word:
                self._puzzle(f"{self._shown(path)} uses {word.decode()}")

    def _is_nobodys(self, access: Access) -> bool:
        """Say whether it is nothing that a commit asks for."""
        if self._ground.inside(access.path) is not None and self._ground.copy:
            return False
        path = os.path.normpath(access.path)
        if path.startswith("/proc/") and not _OF_NIX.fullmatch(path):
            self._puzzle(f"it reads {path}")
        if path == STORE:
            if access.how == LIST:
                self._puzzle("it lists Nix's store")
            return True
        if path.startswith(_OWN):
            return not any(_is_at(path, folder) for folder in _LINKED)
        if path.startswith(self._own) and any(_is_at(path, own) for own in self._own):
            return True
        above = self._ground.is_above(path) and access.how in {LOOK, LINK}
        return above or self._is_beside(access, path)

    def _is_beside(self, access: Access, path: str) -> bool:
        """Say whether it is about our own files beside the checkout."""
        if not path.startswith(self._beside) or self._ground.inside(path) is not None:
            return False
        if self._ground.commit is None:
            return False
        if access.there:
            self._puzzle(f"it looks out of the checkout, at {path}")
        return True

    def _add(self, access: Access) -> None:
        inside = self._ground.inside(access.path)
        path, how = inside or access.path, access.how
        on_disk = inside is None or self._ground.commit is None
        if access.foreign and on_disk:
            how = f"times-{how}"
        state = self._ground.state(how, path)
        if (state == MISSING) == access.there and not self._hidden(access):
            self._puzzle(f"{path} came or went while it was evaluated")
        elif on_disk and self._is_new(how, path):
            self._puzzle(f"{path} was changed while it was evaluated")
        self.items.append((how, path, state))

    def _hidden(self, access: Access) -> bool:
        """Say whether it was not there, since it leads to what is not seen."""
        path = self._ground.leads_to(access.path)
        return not access.there and self._trace.hides(path)

    def _is_new(self, how: str, path: str) -> bool:
        """Say whether what was asked for may have been another one a moment before."""
        only_looked = how in {LOOK, LINK}
        ground = self._ground
        changed = (
            ground.led_otherwise_at(path) if only_looked else ground.changed_at(path)
        )
        return changed > self._trace.began - _RACE_SECONDS

    def _shown(self, path: str) -> str:
        return self._ground.inside(path) or path

    def _puzzle(self, text: str) -> None:
        if text not in self.puzzles:
            self.puzzles.append(text)


def is_own_note(trace: Trace, path: str) -> bool:
    """Say whether it is where Nix notes what it fetched, for this one alone."""
    folder = trace.cache
    if not folder or not _is_at(path, folder):
        return False
    return path in {folder, f"{folder}/nix"} or NOTES in path


def _is_at(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _tells_the_time(path: str) -> bool:
    """Say whether a file that was read names the current time, which nothing traces."""
    if path.startswith(("/dev/", "/proc/", "/sys/", f"{_STATE}/")):
        return False
    if path.endswith(tuple(f"/pkgs/tools/nix/info/{name}" for name in _NO_CLOCKS)):
        return False
    if path.startswith(f"{STORE}/"):
        return not path.endswith((".drv", ".lock")) and _names_clock_in_store(path)
    return _names_clock(path)


@functools.lru_cache(maxsize=8192)
def _names_clock_in_store(path: str) -> bool:
    return _names_clock(path)


def _names_clock(path: str) -> bool:
    return _names_word(path, _CLOCK)


def _names_word(path: str, word: bytes) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 -- text, any bytes
            data = file.read(_TEXT_LIMIT)
    except (OSError, ValueError):
        return False
    return word in data and not data.startswith(b"\x7fELF")
