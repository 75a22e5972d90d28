"""What was told of one host, so that the next message tells only what is new."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.messages import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was told of one subject: a host, or the repository."""

    bad: Mapping[Kind, tuple[str, ...]] = field(default_factory=dict)
    """The bad states that were told and not ended, each with what it was about."""

    changes: Mapping[Kind, tuple[float, ...]] = field(default_factory=dict)
    """When each bad state last began or ended, as far as that matters for flapping."""

    flapping: frozenset[Kind] = frozenset()
    attempt: str = ""  # the newest one that was told or needed no telling
    reached: str = ""  # the toplevel that the host last had as desired
    tags: tuple[str, ...] = ()  # of the host, when they were last known
    serial: int = 0  # of the last message; never used twice for one subject


def begin(now: float, *, attempt: str = "") -> Told:
    """
    Return what stands before anything is told.

    *attempt* is the newest one that needs no telling. The number of messages begins at
    the time, so that none has a key that was used before the subject was forgotten.
    """
    return Told(attempt=attempt, serial=int(now))


def to_json(told: Told) -> str:
    """Return *told* as text, equal for equal values."""
    return json.dumps(
        {
            "bad": {kind.value: list(what) for kind, what in told.bad.items()},
            "changes": {kind.value: list(at) for kind, at in told.changes.items()},
            "flapping": sorted(kind.value for kind in told.flapping),
            "attempt": told.attempt,
            "reached": told.reached,
            "tags": list(told.tags),
            "serial": told.serial,
        },
        sort_keys=True,
    )


def from_json(text: str) -> Told:
    """Return what `to_json` wrote, without kinds that this version does not know."""
    values: dict[str, Any] = json.loads(text)
    return Told(
        bad={kind: tuple(what) for kind, what in _by_kind(values["bad"])},
        changes={kind: tuple(at) for kind, at in _by_kind(values["changes"])},
        flapping=frozenset(
            kind for kind, _ in _by_kind(dict.fromkeys(values["flapping"]))
        ),
        attempt=values["attempt"],
        reached=values["reached"],
        tags=tuple(values["tags"]),
        serial=values["serial"],
    )


def _by_kind(values: Mapping[str, Any]) -> list[tuple[Kind, Any]]:
    known = {kind.value for kind in Kind}
    return [(Kind(name), value) for name, value in values.items() if name in known]
