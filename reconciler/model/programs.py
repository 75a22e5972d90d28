"""Names of programs in the store."""

import re

_LOADERS = (
    "grub",
    "systemd-boot",
    "lanzaboote",
    "limine",
    "refind",
    "extlinux",
    "raspberrypi",
    "generations-dir",
    "init-script",
)
_IN_STORE = re.compile(r"/nix/store/[0-9a-z]{32}-(\S+)")


def loader_of(command: str) -> str:
    """
    Return which boot loader the program of *command* sets up; empty if none.

    Releases name their programs in different ways, so those that are known go by the
    name of the loader, and any other by its own.
    """
    words = command.split()
    match = _IN_STORE.fullmatch(words[0]) if words else None
    if match is None:
        return ""  # `echo`, of a system that cannot be booted
    name = match[1]
    return next((one for one in _LOADERS if one in name), name)
