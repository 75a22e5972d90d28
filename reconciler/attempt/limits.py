"""How long a guardian on a host waits, and for what."""

from reconciler.apply.guardian import Limits
from reconciler.model import Desired
from reconciler.observed import checks_seconds
from reconciler.world import Common

ARM_SECONDS = 180.0  # for the keys to come; a batch has 120 s
ROLL_BACK_SECONDS = 300.0
FOUND_SECONDS = 180.0  # from early in the boot of a host until somebody looks at it


def limits(world: Common, desired: Desired, *, boots: bool = False) -> Limits:
    """
    Return how long each part may take on the host.

    To be confirmed there is time to become healthy, to stay so (twice, should somebody
    restart a service meanwhile), and for the declared checks, which run side by side.
    A host that *boots* has to be found first, by a reconciler that may be on it.
    """
    policy = world.settings.policy
    found = FOUND_SECONDS if boots else 0.0
    return Limits(
        arm=ARM_SECONDS,
        switch=policy.switch_timeout,
        confirm=found
        + policy.confirm_timeout
        + 2 * policy.settle
        + checks_seconds(desired),
        # What takes long to stop takes long on the way back, too.
        roll_back=max(ROLL_BACK_SECONDS, policy.switch_timeout),
    )
