"""Hosts that a flake has by two names: a configuration, and what deploys it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from reconciler.desired import selection
from reconciler.errors import EvaluationError
from reconciler.model import HostName
from reconciler.settings import RepositorySettings


def deployed_otherwise(
    unpaired: Mapping[str, Any],
    settings: RepositorySettings,
    made_of: Callable[[HostName], str | None],
) -> frozenset[HostName]:
    """
    Return the configurations that a node of deploy-rs of another name deploys.

    *made_of* is asked only where both would be listed: it evaluates. A node that does
    not evaluate hides nothing, and says so itself.
    """
    nodes = _chosen(unpaired["nodes"], settings)
    left = _chosen(unpaired["systems"], settings)
    found: set[HostName] = set()
    for node in nodes:
        if left == found:
            break
        try:
            system = made_of(node)
        except EvaluationError:
            continue
        found |= left & {system}
    return frozenset(found)


def _chosen(names: Iterable[str], settings: RepositorySettings) -> set[HostName]:
    return {
        HostName(name)
        for name in names
        if selection.is_chosen(HostName(name), settings)
    }
