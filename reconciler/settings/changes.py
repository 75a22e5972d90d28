"""What of a changed settings file can be applied to a program that runs."""

from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel
from typing_extensions import override

from reconciler.settings.schema import Settings

LIVE = frozenset(
    {
        "repository.poll",
        "repository.allow_force",
        "hosts",
        "policy",
        "webhooks",
        "api.tokens",
        "api.loopback_reads",
    }
)
"""What is read anew at each use, a name standing for all below it."""

Model = TypeVar("Model", bound=BaseModel)

FIXED = frozenset({"policy.parallel"})
"""What of that is used once, at the start, all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A changed file, sorted by what can be done about it."""

    settings: Settings  # what is in force from now on
    applied: tuple[str, ...]  # names of settings
    restart: tuple[str, ...]  # those that wait for a restart

    @override
    def __str__(self) -> str:
        """Return the names, for people."""
        told = [f"applied: {', '.join(self.applied)}"] if self.applied else []
        told += [f"waits for a restart: {', '.join(self.restart)}"] * bool(self.restart)
        return "; ".join(told) or "nothing changed"


def change(old: Settings, new: Settings) -> Change:
    """
    Return what becomes of *new* while a program runs that was started with *old*.

    A setting that needs a restart keeps its old value, so that no two parts of the
    program go by different ones.
    """
    names = _differences(old, new)
    live = [name for name in names if _is_live(name)]
    return Change(
        settings=_merged(old, new),
        applied=tuple(live),
        restart=tuple(name for name in names if name not in live),
    )


def _is_live(name: str) -> bool:
    parts = name.split(".")
    above = {".".join(parts[: count + 1]) for count in range(len(parts))}
    return bool(above & LIVE) and name not in FIXED


def _differences(old: BaseModel, new: BaseModel, prefix: str = "") -> list[str]:
    found: list[str] = []
    for key in type(old).model_fields:
        before, after = getattr(old, key), getattr(new, key)
        if before == after:
            continue
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            found += _differences(before, after, f"{prefix}{key}.")
        else:
            found.append(f"{prefix}{key}")
    return found


def _merged(old: Model, new: Model, prefix: str = "") -> Model:
    """Return *old* with what is live of *new*."""
    update: dict[str, object] = {}
    for key in type(old).model_fields:
        before, after = getattr(old, key), getattr(new, key)
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            update[key] = _merged(before, after, f"{prefix}{key}.")
        elif _is_live(f"{prefix}{key}"):
            update[key] = after
    return old.model_copy(update=update)
