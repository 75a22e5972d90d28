"""
Values of the Nix language, as people write them in the settings.

Each function returns the value, or raises ValueError with what is wrong and what is
accepted.
"""

import math
import re
from pathlib import Path

from reconciler.settings.values import absolute

_INPUT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
_REFERENCE = re.compile(r"[a-z][a-z0-9+]*:", re.ASCII)
_LOGIN = re.compile(r"(?:[a-z+]*https?://|[a-z0-9+]+://[^/?#@]*:)[^/?#]*@", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*", re.ASCII)


def name(text: str) -> str:
    """Return *text* if an argument of a function may have this name."""
    if _NAME.fullmatch(text):
        return text
    message = f"{text!r} is no name of an argument: letters, digits, '_', '-' and \"'\""
    raise ValueError(message)


def input_name(text: str) -> str:
    """Return *text* if it is an input of a flake, or one of an input: ``a/b``."""
    if text and all(map(_INPUT.fullmatch, text.split("/"))):
        return text
    message = (
        f"{text!r} is no name of an input, such as nixpkgs or home-manager/nixpkgs"
    )
    raise ValueError(message)


def input_place(given: object, folder: Path | None = None) -> Path | str:
    """Return the folder, or the flake reference, that an input is replaced by."""
    if isinstance(given, Path):
        return given
    if not isinstance(given, str) or not given:
        message = "should be a folder of this machine, or a flake reference"
        raise ValueError(message)
    if not _REFERENCE.match(given):
        return absolute(Path(given), folder)
    if _LOGIN.match(given):
        message = (
            "must not hold a login, which lists of processes would show: put it into"
            " ~/.netrc of the daemon's user, or access-tokens of its nix.conf"
        )
        raise ValueError(message)
    if re.search(r"[?&](?:rev|narHash)=|/[0-9a-f]{40}$", given):
        return given
    message = f"{given!r} names no commit: add ?rev=…, or write a folder"
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
