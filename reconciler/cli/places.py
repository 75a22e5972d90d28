"""Where a host is, also while the repository is away."""

from reconciler.cli.worlds import look
from reconciler.errors import UnknownHostError
from reconciler.loop import Evaluations, World
from reconciler.loop.rollbacks import as_set
from reconciler.model import Desired, HostName
from reconciler.settings import HostSettings


def last_known(world: World, name: str) -> Desired:
    """
    Return what was last known of a host, with what the settings say of its address.

    The repository is asked only about a host that was never evaluated. Raises
    UnknownHostError, SourceError, EvaluationError.
    """
    host, evaluations = HostName(name), Evaluations(world)
    found = evaluations.last_good(host)
    if found is not None:
        return as_set(found.desired, world.settings.hosts.get(host, HostSettings()))
    _, revision = look(world)
    if host not in revision.hosts:
        raise UnknownHostError(host, known=revision.hosts)
    return evaluations.desired(revision, host)
