"""One look at a host: what it is, and what differs from what it should be."""

from dataclasses import dataclass, replace
from pathlib import Path

from reconciler.attempt.preview import Preview
from reconciler.history import Sighting
from reconciler.model import (
    CommitId,
    Desired,
    Digests,
    Known,
    Observed,
    Phase,
    Plan,
    Policy,
    Takeover,
)
from reconciler.observed import deadline_for, probe
from reconciler.plan import plan, runs
from reconciler.world import HostWorld, timed


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen, and what follows from it."""

    observed: Observed
    known: Known
    digests: Digests
    plan: Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What would be done on a host, and what it is aimed at."""

    plan: Plan
    desired: Desired
    commit: CommitId
    brings: Preview | None = None  # with another system
    first: tuple[Takeover, ...] | None = None  # what a first deployment changes


def look(
    world: HostWorld,
    desired: Desired,
    checkout: Path,
    *,
    policy: Policy,
    phase: Phase = Phase.PROBE,
    under_way: bool = False,
) -> Look:
    """
    Probe a host and compare it with *desired*, keys included.

    *checkout* is where the contents of keys come from. An attempt that is *under_way*
    goes on whatever was ordered meanwhile. Raises what the probe raises.
    """
    known = world.known(desired)
    if under_way:
        known = replace(known, under_way=True)
    digests = world.digests(desired, checkout)
    reader = world.connections.reader(desired.host, desired.target)
    paths = {key.path for key in desired.keys.values()} | known.delivered
    with timed(world, phase):
        observed = probe(
            reader,
            desired.units,
            keys=sorted(paths),
            secrets=desired.secrets,
            now=world.now(),
            deadline=deadline_for(len(desired.units)),
        ).of(desired.kind)
    shared = world.history.machines.shared(desired.host, sighting(world, observed))
    known = replace(known, shared=shared.same, alike=shared.alike)
    if desired.secrets and not runs(desired, observed):
        keys = world.connections.host_keys(desired.host, desired.target)
        known = replace(known, host_keys=keys)
    if not (under_way or runs(desired, observed)):
        known = replace(known, unbuildable=world.evaluator.cannot_build(desired))
    return Look(
        observed=observed,
        known=known,
        digests=digests,
        plan=plan(desired, observed, known=known, policy=policy, digests=digests),
    )


def sighting(world: HostWorld, observed: Observed) -> Sighting:
    """Return which machine was *observed*, until just now."""
    return Sighting(
        machine_id=observed.machine_id,
        boot_id=observed.boot_id,
        began_at=observed.began_at,
        ended_at=world.now(),
    )
