"""
How many evaluations run at once: as many as cores and memory allow.

What one takes is not known beforehand: a host that reads all others (`nodes`) takes as
much as all of them. So it is measured, and kept across restarts. The very first one
runs alone, and one that has not run yet is taken to be as large as the largest so far.

Each may take what it is given and no more, and all of that together is no more than
there is: one that grows ends itself, and neither another one nor the reconciler.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

EVALUATION_BYTES = 2 << 30
"""Memory that is taken to be there where nothing tells."""

CGROUPS = Path("/sys/fs/cgroup")

FIRST_HEAP = "GC_INITIAL_HEAP_SIZE"
"""How Nix's garbage collector is told how many bytes to begin with."""

LARGEST_FIRST_HEAP = 1 << 30
NIXS_OWN_FIRST_HEAP = 384 << 20

MARGIN = 1.25
"""How much more than its last time one may take before it is ended, and made alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What one evaluation is given."""

    limit: int  # bytes
    is_all: bool  # whether there is no more than that
    measured: Callable[[int], None]  # hears how many it took


def with_first_heap(argv: Sequence[str], limit: int) -> tuple[str, ...]:
    """
    Return a command that runs Nix with a heap that suits *limit*, in bytes.

    With as much as Nix begins with by itself, it collects garbage several times in an
    evaluation of a NixOS, and finds little: a quarter of its time.
    """
    heap = min(LARGEST_FIRST_HEAP, limit // 2)
    if heap <= NIXS_OWN_FIRST_HEAP or FIRST_HEAP in os.environ:
        return (*argv,)
    return ("env", f"{FIRST_HEAP}={heap}", *argv)


class Room:
    """Lets evaluations in, for as long as their block lasts; for many threads."""

    def __init__(
        self, *, places: int, memory: int, sizes: Mapping[str, int] | None = None
    ) -> None:
        """Take also what evaluations are known to have taken before."""
        self._places = places
        self._memory = memory
        self._changed = threading.Condition()
        self._running: dict[object, int] = {}  # what each is given
        self._sizes = {subject: size for subject, size in (sizes or {}).items() if size}

    @contextlib.contextmanager
    def taken(self, subject: str, *, alone: bool = False) -> Iterator[Place]:
        """
        Wait for room for *subject*, and take it; all that there is, if *alone*.

        One that is larger than that runs alone, too.
        """
        token = object()
        with self._changed:
            self._changed.wait_for(lambda: self._fits(subject, alone=alone))
            limit = self._running[token] = self._given(subject, alone=alone)
        try:
            yield Place(
                limit=limit,
                is_all=limit >= self._memory,
                measured=lambda size: self._measured(subject, size),
            )
        finally:
            with self._changed:
                del self._running[token]
                self._changed.notify_all()

    def _fits(self, subject: str, *, alone: bool) -> bool:
        running = self._running.values()
        if not running:
            return True
        if len(running) >= self._places:
            return False
        return sum((*running, self._given(subject, alone=alone))) <= self._memory

    def _given(self, subject: str, *, alone: bool) -> int:
        """Return what *subject* may take: an equal part, or more if it took more."""
        known = self._sizes.get(subject) or max(self._sizes.values(), default=0)
        if alone or not known:
            return self._memory
        return min(
            self._memory, max(round(known * MARGIN), self._memory // self._places)
        )

    def _measured(self, subject: str, size: int) -> None:
        if size > 0:
            with self._changed:
                self._sizes[subject] = size
                self._changed.notify_all()


def available_memory(
    meminfo: Path = Path("/proc/meminfo"),
    group: Path = Path("/proc/self/cgroup"),
    groups: Path = CGROUPS,
) -> int:
    """Return how many bytes programs may still take; one evaluation's if unknown."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return EVALUATION_BYTES
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    kibibytes = fields.get("MemAvailable", "").split()
    free = int(kibibytes[0]) * 1024 if kibibytes else EVALUATION_BYTES
    return min([free, *_left_in_groups(group, groups)])


def _left_in_groups(group: Path, groups: Path) -> Iterator[int]:
    """Yield what each limit on our control group leaves, as ``MemoryMax=`` sets one."""
    for one in _groups_above(group, groups):
        yield from _left(one)


def _groups_above(group: Path, groups: Path) -> Iterator[Path]:
    """Yield our control group, and those that it is in."""
    with contextlib.suppress(OSError):
        lines = group.read_text().splitlines()
        ours = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
        for folder in (groups / path for path in ours):
            yield from (
                one for one in (folder, *folder.parents) if one.is_relative_to(groups)
            )


def _left(group: Path) -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError):
        most = int((group / "memory.max").read_text())  # "max" is no number
        yield max(0, most - int((group / "memory.current").read_text()))
