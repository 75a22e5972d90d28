"""
By which way a host was reached, and which system it ran then.

What a commit says of address, port and user holds for the system of that commit. Until
that one runs, the host is where it was.
"""

import json
from dataclasses import asdict, replace

from reconciler.model import HostName, StorePath, Target
from reconciler.world.world import Common


def last_way(world: Common, host: HostName) -> Target | None:
    """Return how *host* was reached last; None if it never was."""
    return _target(world, host, world.history.systems.last_way(host))


def way_of(world: Common, host: HostName, system: StorePath) -> Target | None:
    """Return how *host* was reached when it ran *system* last; None if it never did."""
    return _target(world, host, world.history.systems.way_of(host, system))


def note_way(world: Common, host: HostName, system: StorePath, way: Target) -> None:
    """Remember that *host*, which runs *system*, is reached by *way* over SSH."""
    if way.local:
        return
    fields = asdict(replace(way, identity=""))
    del fields["local"]
    text = json.dumps(fields)
    world.history.systems.note_way(host, system, text)


def _target(world: Common, host: HostName, text: str | None) -> Target | None:
    if text is None:
        return None
    fields = json.loads(text)
    settings = world.settings.hosts.get(host)
    if settings is not None and (settings.is_local or settings.is_pulling):
        return None  # however it was reached before
    # With which key we come is of this machine, and may have changed since.
    fields["identity"] = str((settings and settings.identity) or "")
    return Target(**{**fields, "escalation": tuple(fields["escalation"])})
