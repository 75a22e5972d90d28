"""
Values of the Nix language, as people write them in the settings.

Each function returns the value, or raises ValueError with what is wrong and what is
accepted.
"""

import math
import re

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*", re.ASCII)


def name(text: str) -> str:
    """Return *text* if an argument of a function may have this name."""
    if _NAME.fullmatch(text):
        return text
    message = f"{text!r} is no name of an argument: letters, digits, '_', '-' and \"'\""
    raise ValueError(message)


def value(given: object) -> object:
    """Return *given*, of which YAML knows no value that Nix lacks but infinity."""
    if isinstance(given, dict):
        for one in given.values():
            value(one)
    elif isinstance(given, list | tuple):
        for one in given:
            value(one)
    elif isinstance(given, float) and not math.isfinite(given):
        message = f"{given} is no number that Nix has"
        raise ValueError(message)
    return given
