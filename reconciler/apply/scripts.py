"""The scripts that hosts run, as they are sent."""

import functools
from importlib import resources

_IN_FOLDERS = frozenset({"keys", "keys-remove", "guard", "guardian"})
"""Those that work in folders which somebody else may write."""


@functools.cache
def script(name: str) -> str:
    """Return a script, with what it needs before it."""
    names = ("folder", name) if name in _IN_FOLDERS else (name,)
    package = resources.files(__package__)
    return "\n".join(package.joinpath(f"{one}.sh").read_text("utf-8") for one in names)
