"""Who may go now: one host is rebooted at a time, and the next after a good end."""

from reconciler.attempt.carried import Carried
from reconciler.loop.host_gate import Gate
from reconciler.model import (
    HostName,
    Known,
    Observed,
    Outcome,
    Plan,
    Step,
    StepKind,
    Verdict,
)
from reconciler.world import World

REBOOT_TURN = 10.0  # seconds after which a host asks again whether it may be rebooted
_REBOOTING = (StepKind.REBOOT, StepKind.BOOT)
_PROVING = (*_REBOOTING, StepKind.JUDGE)


def seconds_to_wait(
    world: World, gate: Gate, host: HostName, steps: tuple[Step, ...]
) -> float:
    """Return the seconds that *steps* have to wait; after none, they may begin."""
    wait = gate.wait(host, world.monotonic()) if steps else 0.0
    reboots = any(step.kind in _REBOOTING for step in steps)
    # Two plans may have seen that it was nobody's turn.
    if wait <= 0 and reboots:
        mine = world.history.turns.take_reboot(host, now=world.now())
        return wait if mine else REBOOT_TURN
    return wait


def end_vain_turn(world: World, known: Known, observed: Observed) -> None:
    """
    Give the turn on where a host, of which nothing more is wanted, was not rebooted.

    It is in the boot still that it was to leave: whoever asked for that was killed
    before the host had heard of it, and a commit has made it needless since.
    """
    turn = known.turn
    if turn is not None and turn.begun and turn.boot_id == observed.boot_id:
        world.history.turns.end_reboot(observed.host)


def heals_only(plan: Plan) -> bool:
    """Return whether a plan brings nothing that a newer commit may not want."""
    reboots = any(step.kind in _REBOOTING for step in plan.steps)
    return plan.verdict is not Verdict.DEPLOY and not reboots


def end_turn(world: World, plan: Plan, carried: Carried) -> None:
    """
    Give the turn to be rebooted on, once that has come to a good end.

    Else the others wait: what this one could not boot, they may not boot.
    """
    proved = any(step.kind in _PROVING for step in plan.steps)
    good = proved and carried.attempt.outcome is Outcome.SUCCEEDED
    world.history.turns.end_reboot(plan.host, unless_begun=not good)
