"""How a host that is not NixOS is asked what it runs of system-manager."""

import functools
from importlib import resources


@functools.cache
def functions() -> str:
    """Return the shell functions of ``system-manager.sh``."""
    package = resources.files(__package__)
    return package.joinpath("system-manager.sh").read_text(encoding="utf-8")
