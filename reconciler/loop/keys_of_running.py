"""
The keys of what a host runs, whatever the newest commit says and the policy forbids.

For people who ask for keys, or for a reboot, which takes them away: a host that is held
may run a system of long ago, whose services wait for the keys of its own commit.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from reconciler.attempt.key_steps import KeySteps
from reconciler.attempt.look import Look, look
from reconciler.attempt.reach import meet
from reconciler.errors import WrongMachineError
from reconciler.model import DriftKind, Effect, HostName
from reconciler.plan import runs, stranger
from reconciler.revisions.evaluations import Evaluations
from reconciler.revisions.repository import Revision
from reconciler.revisions.wanted import (
    UnknownSystemError,
    Wanted,
    declaring,
    wanted_of,
)
from reconciler.world import World

KEY_KINDS = frozenset(kind for kind in DriftKind if kind.value.startswith("key-"))
_DELIVERED = frozenset({Effect.DELIVER, Effect.PERMIT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What a host runs, by the commit that declares it, and how it stands."""

    wanted: Wanted
    seen: Look

    @property
    def differing(self) -> tuple[str, ...]:
        """The names of keys that a delivery can put right."""
        return tuple(
            drift.subject
            for drift in self.seen.plan.drifts
            if drift.kind in KEY_KINDS and drift.effect in _DELIVERED
        )

    @property
    def problem(self) -> str:
        """Which contents cannot be had, and why."""
        problems = self.seen.digests.problems.items()
        return "; ".join(f"key {name}: {why}" for name, why in problems)


def look_at_running(
    world: World,
    evaluations: Evaluations,
    revision: Revision,
    host: HostName,
    held: ExitStack,
) -> Running:
    """
    Look at *host*, and compare it with the commit of the system that it runs.

    The checkout of that commit stays until *held* is closed.

    Raises UnknownSystemError, WrongMachineError, what looking raises, and
    EvaluationError where no commit says where the host is.
    """
    newest = wanted_of(world, evaluations, revision, host, held)
    seen = meet(world, newest.desired, newest.checkout, policy=world.policy)
    if strange := stranger(seen.observed, seen.known):
        message = f"{host}: {strange}"
        raise WrongMachineError(message)
    running = seen.observed.running
    if running is None:
        message = f"{host} runs nothing of {newest.desired.kind.told}"
        raise UnknownSystemError(message)
    if runs(newest.desired, seen.observed):
        return Running(wanted=newest, seen=seen)
    wanted = declaring(world, host, running, held)
    # Where the host is, that look knows.
    way = world.connections.way_to(host, newest.desired.target)
    wanted = replace(wanted, desired=replace(wanted.desired, target=way))
    seen = look(world, wanted.desired, wanted.checkout, policy=world.policy)
    return Running(wanted=wanted, seen=seen)


def deliver(world: World, running: Running, log: Callable[[str], None]) -> None:
    """
    Deliver the keys that differ, and remove none.

    Raises HostBusyError, KeysError, RemoteError and its kin.
    """
    names = running.differing
    if not names:
        return
    wanted = running.wanted
    steps = KeySteps(world, wanted.desired, wanted.checkout, log)
    with world.history.lock(wanted.desired.host):
        steps.deliver(names)
