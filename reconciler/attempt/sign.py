"""Leave a note on a host that is about to be changed: who drives it."""

from collections.abc import Callable

from reconciler.errors import RemoteError, RemoteTimeoutError
from reconciler.model import Desired, Observed
from reconciler.world import HostWorld
from reconciler.world.driver import SIGN

DEADLINE = 15.0  # seconds


def sign(
    world: HostWorld, desired: Desired, observed: Observed, log: Callable[[str], None]
) -> None:
    """
    Sign a host, unless that is done.

    One whose disk takes no note is changed all the same. Raises ConnectError,
    RemoteTimeoutError.
    """
    ours = world.driver
    if not ours or observed.driver.partition(" ")[0] == ours.partition(" ")[0]:
        return
    writer = world.connections.writer(desired.host, desired.target)
    argv = ("sh", "-c", SIGN, "sh", ours)
    try:
        writer.run(argv, what="note of who drives it", deadline=DEADLINE)
    except RemoteTimeoutError:
        raise
    except RemoteError as error:
        log(f"it cannot be noted on the host who drives it: {error}")
