"""
Reboot a host, and wait until it is booted anew; for people and for attempts.

A boot is told by its boot id, so a host that never went down is not taken for one that
came back. What a host must be like then is for the caller to judge: its keys are gone,
and its services may wait for them.
"""

from collections.abc import Callable

from reconciler.errors import (
    ConnectError,
    RemoteError,
    TemporaryError,
)
from reconciler.model import Desired, HostName
from reconciler.world import HostWorld

DEADLINE = 600.0  # seconds until a host must answer again; servers take their time
ASK_DEADLINE = 15.0
PAUSE = 0.5  # seconds between two looks
COMMAND = (
    *("systemd-run", "--quiet"),
    # Not at once: the answer to this command must still reach us.
    "--on-active=0.2",
    # Else any time within the next minute is near enough to systemd.
    "--timer-property=AccuracySec=50ms",
    *("systemctl", "reboot"),
)
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


class RebootError(TemporaryError):
    """A host did not come back in order."""


def reboot(
    world: HostWorld, desired: Desired, *, boot_id: str, seconds: float, why: str
) -> None:
    """
    Reboot a host whose boot id is *boot_id*; return when it answers with another.

    It is remembered for which system that was: see `Known.rebooted`. Waits for at most
    *seconds*; not at all if that is 0. Raises RebootError, what asking it raises, and
    StoppingError.
    """
    host = desired.host
    note_reboot(world, desired, boot_id=boot_id, why=why)
    _ask(world, desired)
    world.tell(host, "rebooting")
    give_up = world.monotonic() + seconds
    while seconds and not _is_back(world, desired, boot_id):
        if world.monotonic() > give_up:
            message = f"{host}: did not boot in time; its boot id is still {boot_id}"
            raise RebootError(message)
        world.pause(PAUSE)


def note_reboot(world: HostWorld, desired: Desired, *, boot_id: str, why: str) -> None:
    """Note that a host is about to be rebooted for its desired system."""
    host, now = desired.host, world.now()
    world.history.systems.note_reboot(host, desired.toplevel)
    world.history.turns.begin_reboot(host, boot_id)
    world.history.event(now=now, kind="reboot", host=host, text=why)


def note_not_rebooted(world: HostWorld, host: HostName) -> None:
    """Note that a host that was about to be rebooted was not, and others may be."""
    world.history.systems.forget_reboot(host)
    world.history.turns.end_reboot(host)


def await_order(
    world: HostWorld, host: HostName, ails: Callable[[], str], *, seconds: float
) -> None:
    """
    Wait until *ails*, which looks at the host and does what it can, says nothing more.

    Raises RebootError with what it said last after *seconds*.
    """
    give_up = world.monotonic() + seconds
    while told := ails():
        if world.monotonic() > give_up:
            message = f"{host}: is back, but not in order: {told}"
            raise RebootError(message)
        world.pause(PAUSE)


def _ask(world: HostWorld, desired: Desired) -> None:
    writer = world.connections.writer(desired.host, desired.target)
    try:
        writer.run(COMMAND, what="reboot", deadline=ASK_DEADLINE)
    finally:
        world.connections.reconnect(desired.host)


def _is_back(world: HostWorld, desired: Desired, old: str) -> bool:
    reader = world.connections.reader(desired.host, desired.target)
    try:
        told = reader.read(BOOT_ID, what="boot id", deadline=ASK_DEADLINE).strip()
    except (ConnectError, RemoteError):
        world.connections.reconnect(desired.host)
        return False
    return told not in ("", old)
