"""
What the units of a host have to do with each other, as systemd has loaded them. Pure.

Only systemd knows all of it: the configuration does not say what packages and
generators bring.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.observed.words import words

DEFAULT_TARGET = "default.target"
PULLING = ("Wants", "Requires", "BindsTo", "Upholds")
CONFLICTING = ("Conflicts", "ConflictedBy")
_UP = frozenset({"active", "reloading", "refreshing", "activating"})
_MASKED = "masked"

Block = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Units by name, for what the others mean to them."""

    wanted: frozenset[str]
    """What starting the boot target starts."""

    displaced: frozenset[str]
    """What conflicts with something that the boot target pulls in and that is up."""

    @classmethod
    def of(cls, blocks: Iterable[Block]) -> "Links":
        """Take them from what ``systemctl show`` says of each unit."""
        units = {block.get("Id", ""): block for block in blocks}
        wanted = _pulled_in(units)
        return cls(wanted=wanted, displaced=_displaced(units, wanted))


def _pulled_in(units: Mapping[str, Block]) -> frozenset[str]:
    """Return what systemd starts along with the boot target, masked units not."""
    found: set[str] = set()
    waiting = [
        name
        for name, block in units.items()
        if DEFAULT_TARGET in words(block.get("Names", ""))
    ]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        block = units.get(name, {})
        if block.get("LoadState") != _MASKED:
            waiting.extend(_named(block, PULLING))
    return frozenset(found)


def _displaced(units: Mapping[str, Block], wanted: frozenset[str]) -> frozenset[str]:
    return frozenset(
        name
        for name, block in units.items()
        if any(
            other in wanted and units.get(other, {}).get("ActiveState") in _UP
            for other in _named(block, CONFLICTING)
        )
    )


def _named(block: Block, properties: Iterable[str]) -> Iterable[str]:
    return (word for name in properties for word in words(block.get(name, "")))
