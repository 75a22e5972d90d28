"""Where a host is, also while the repository is away."""

from reconciler.cli.worlds import look
from reconciler.model import Desired, HostName
from reconciler.revisions import Evaluations, last_address
from reconciler.world import World


def last_known(world: World, name: str) -> Desired:
    """
    Return what was last known of a host, with what the settings say of its address.

    The repository is asked only about a host that was never evaluated. Raises
    UnknownHostError, SourceError, EvaluationError.
    """
    return last_address.last_known(
        world, Evaluations(world), HostName(name), lambda: look(world)[1]
    )
