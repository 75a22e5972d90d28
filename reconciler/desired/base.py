"""What a commit says its host stands on, as Nix prints it."""

from collections.abc import Mapping
from typing import Any

from reconciler.model import Base, Mount
from reconciler.model.programs import loader_of


def base_from_nix(facts: Mapping[str, Any]) -> Base:
    """Return what *facts* (``nix/base.nix``) tell."""
    return Base(
        state_version=facts["stateVersion"],
        loader=loader_of(facts["loader"]),
        mutable_users=facts["mutableUsers"],
        users=dict(facts["users"]),
        mounts=_mounts(facts["mounts"]),
        updaters=tuple(facts["updaters"]),
    )


def base_from_json(fields: Mapping[str, Any] | None) -> Base | None:
    """Return what was kept; None if it was kept by a version that did not ask."""
    if fields is None:
        return None
    mounts, updaters = _mounts(fields["mounts"]), tuple(fields["updaters"])
    return Base(**{**fields, "mounts": mounts, "updaters": updaters})


def _mounts(found: list[dict[str, str]] | None) -> tuple[Mount, ...] | None:
    return None if found is None else tuple(Mount(**one) for one in found)
