"""
What belongs to a system: store paths, their sizes, units; asked of whoever has it.

This machine is asked first, since it built most of what hosts run; else the host. Old
Nix commands only: every Nix has them, and on hosts no feature need be switched on.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from reconciler import process
from reconciler.errors import FactError
from reconciler.model import StorePath, SystemParts, UnitName
from reconciler.remote import HostReader

DEADLINE = 60.0  # seconds for one question

_ABSENT, _END = "absent", "end"
_STORE_PARTS = 4  # /nix/store/<name>/…


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Everything that one system consists of."""

    toplevel: StorePath
    sizes: Mapping[str, int]  # store path -> bytes as a NAR
    units: Mapping[UnitName, str]  # name -> store path that its file is in
    parts: SystemParts  # what only a reboot changes
    on_host: bool = False  # this machine has it no more

    @property
    def size(self) -> int:
        """Bytes of the whole closure."""
        return sum(self.sizes.values())


def system(toplevel: StorePath, reader: HostReader | None = None) -> System | None:
    """
    Return what *toplevel* consists of; None where neither we nor the host has it.

    Raises FactError, CommandError, and what reading raises.
    """
    script = _script("closures.sh", [toplevel])
    here = _system(toplevel, _here(script), on_host=False)
    if here is not None or reader is None:
        return here
    text = reader.read(script, what="closure", deadline=DEADLINE)
    return _system(toplevel, text, on_host=True)


def requisites(
    paths: Sequence[str], reader: HostReader | None
) -> dict[str, frozenset[str]]:
    """Return what each of *paths* needs, asked here unless *reader* is given."""
    if not paths:
        return {}
    script = _script("requisites.sh", paths)
    text = (
        reader.read(script, what="requisites", deadline=DEADLINE)
        if reader
        else _here(script)
    )
    found: dict[str, set[str]] = {}
    current: set[str] = set()
    for line in _whole(text)[:-1]:
        if line.startswith("of "):
            current = found.setdefault(line[3:], set())
        else:
            current.add(line)
    return {path: frozenset(needed) for path, needed in found.items()}


def _script(name: str, arguments: Sequence[str]) -> str:
    text = resources.files(__package__).joinpath(name).read_text("utf-8")
    return f"set -- {shlex.join(arguments)}\n{text}"


def _here(script: str) -> str:
    return process.run(("/bin/sh", "-c", script), deadline=DEADLINE).stdout


def _system(toplevel: StorePath, text: str, *, on_host: bool) -> System | None:
    """Read the answer of the script. Raises FactError."""
    if text.strip() == _ABSENT:
        return None
    facts = [line.partition(" ")[::2] for line in _whole(text)[:-1]]
    paths = [rest for kind, rest in facts if kind == "path"]
    sizes = [rest for kind, rest in facts if kind == "size"]
    units = [rest.split(" ", 1) for kind, rest in facts if kind == "unit"]
    parts = dict(rest.split(" ", 1) for kind, rest in facts if kind == "part")
    try:
        return System(
            toplevel=toplevel,
            sizes=dict(zip(paths, map(int, sizes), strict=True)),
            units={UnitName(name): _store_path(file) for name, file in units},
            parts=SystemParts(
                kernel=parts.get("kernel", ""),
                initrd=parts.get("initrd", ""),
                modules=parts.get("kernel-modules", ""),
                systemd=parts.get("systemd", ""),
            ),
            on_host=on_host,
        )
    except ValueError as error:
        message = f"what {toplevel} consists of is not understood: {error}"
        raise FactError(message) from error


def _whole(text: str) -> list[str]:
    """Return the lines of an answer. Raises FactError if it was cut off."""
    lines = text.splitlines()
    if lines[-1:] != [_END]:
        message = "an answer about store paths was cut off"
        raise FactError(message)
    return lines


def _store_path(file: str) -> str:
    return "/".join(file.split("/")[:_STORE_PARTS])
