"""The scripts that hosts run, as they are sent."""

import functools
from importlib import resources

from reconciler.remote import system_manager

_NEEDS = {
    "keys": ("folder",),
    "keys-remove": ("folder",),
    "guard": ("system", "folder", "launch"),
    "guardian": ("system", "folder", "launch", "first-boot", "unconfirmed"),
}
"""What comes before a script: `folder` where somebody else may write to folders."""


@functools.cache
def script(name: str) -> str:
    """Return a script, with what it needs before it."""
    names = (*_NEEDS.get(name, ()), name)
    package = resources.files(__package__)
    texts = [package.joinpath(f"{one}.sh").read_text("utf-8") for one in names]
    before = [system_manager.functions()] if "system" in names else []
    return "\n".join([*before, *texts])
