"""
Where the files of a unit come from: the system, a package, a generator or a hand.

On NixOS ``/etc/systemd/system`` leads into the Nix store, so what stands there was
put there by a system. systemd looks in ``system.control`` and ``transient`` before it
(systemd.unit(5), "Unit File Load Path"), and drop-ins count wherever they stand.
"""

import itertools
import re

from reconciler.model import ObservedUnit, UnitName

SYSTEM = "/etc/systemd/system/"
"""Where the units of a NixOS system are linked."""

STORE = "/nix/store/"

BEFORE_SYSTEM = (
    "/etc/systemd/system.control/",
    "/run/systemd/system.control/",
    "/run/systemd/transient/",
)
"""Where a file wins over the system's own: made by set-property, edit, mask, run."""

HAND = (
    *BEFORE_SYSTEM,
    "/run/systemd/system/",
    "/etc/systemd/system.attached/",
    "/run/systemd/system.attached/",
)
"""Where only people and their tools put files."""

REMOVABLE = ("/etc/systemd/", "/run/systemd/")
"""What may be removed lies below these; everything else is left to people."""

FORCED = "/run/systemd/generator.early/"
"""Where generators win over the system: ``systemd.mask=`` of the kernel."""

_NOT_BY_HAND = (STORE, "/usr/lib/", "/lib/", "/run/systemd/generator", "/dev/null")

# A unit that NixOS generates: <hash>-unit-<name>/<name>. The second form is what is
# left of the first when the file is gone from the generation and systemd has not
# noticed: its own link under /etc resolves no further.
_GENERATED = re.compile(rf"{STORE}[^/]+-unit-[^/]+/[^/]+")
_VANISHED = re.compile(rf"{STORE}[^/]+-system-units/[^/]+")

# service.d/ and the like apply to every unit of a type. Machines write them for
# themselves (the generator for LXC and Incus guests does, into /run/systemd/system),
# so they are part of the machine and not an override of a unit.
_TYPE_WIDE = re.compile(r"/[a-z]+\.d/[^/]+")


def is_template(name: UnitName) -> bool:
    """Return whether *name* is that of a template, which has no state of its own."""
    return "@." in name


def kind_of(name: UnitName) -> str:
    """Return the suffix of a unit's name: ``service``."""
    return name.rpartition(".")[2]


def from_system(unit: ObservedUnit) -> bool:
    """
    Return whether a NixOS system, and nobody else, put the unit there.

    Units that packages bring, that generators make, that somebody linked into another
    place, and those that systemd no longer finds a file of, are not: whose they are
    cannot be known, and to stop another's unit is worse than to leave one running.
    """
    if not unit.fragment_path.startswith(SYSTEM):
        return False
    generated = _GENERATED.fullmatch(unit.fragment)
    return bool(generated or _VANISHED.fullmatch(unit.fragment))


def from_package(unit: ObservedUnit) -> bool:
    """
    Return whether a package of the system brings the unit (``systemd.packages``).

    Also where a mask hides it.
    """
    if unit.beneath:
        return unit.beneath.startswith(STORE)
    linked = unit.fragment_path.startswith(SYSTEM)
    return linked and unit.fragment.startswith(STORE) and not from_system(unit)


def overrides(unit: ObservedUnit) -> tuple[str, ...]:
    """
    Return the files that somebody put over or beside those of the system, sorted.

    Not drop-ins of packages and generators, and not those that apply to a whole type.
    """
    own = {unit.fragment_path} if _by_hand(unit.fragment_path, unit.fragment) else set()
    pairs = itertools.zip_longest(unit.drop_ins, unit.drop_in_files, fillvalue="")
    beside = {path for path, real in pairs if _by_hand(path, real) and _of_unit(path)}
    return tuple(sorted(own | beside))


def masks(unit: ObservedUnit) -> tuple[str, ...]:
    """
    Return where the mask of a unit may stand that systemd shows only as /dev/null.

    Empty for a unit that is not masked, or whose mask systemd names.
    """
    if unit.load_state != "masked" or unit.fragment_path not in ("", "/dev/null"):
        return ()
    return tuple(place + unit.name for place in BEFORE_SYSTEM)


def _by_hand(path: str, real: str) -> bool:
    if path.startswith(HAND):
        return True
    return not (real or path or "/dev/null").startswith(_NOT_BY_HAND)


def _of_unit(path: str) -> bool:
    directory, _, name = path.rpartition("/")
    return not _TYPE_WIDE.fullmatch(f"/{directory.rpartition('/')[2]}/{name}")
