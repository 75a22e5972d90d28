"""The scripts that hosts run, as they are sent."""

import functools
from importlib import resources

_NEEDS = {
    "keys": ("folder",),
    "keys-remove": ("folder",),
    "guard": ("folder", "launch"),
    "guardian": ("folder", "launch", "first-boot"),
}
"""What comes before a script: `folder` where somebody else may write to folders."""


@functools.cache
def script(name: str) -> str:
    """Return a script, with what it needs before it."""
    names = (*_NEEDS.get(name, ()), name)
    package = resources.files(__package__)
    return "\n".join(package.joinpath(f"{one}.sh").read_text("utf-8") for one in names)
