"""
Which packages two closures have in other versions (pure).

A store path is ``<hash>-<name>[-<version>][-<output>]``. The version begins at the
first dash before a digit: ``linux-6.12.3-modules`` is linux in version 6.12.3-modules,
and ``python3.12-foo-2024-01-01`` is python3.12-foo. Nix's ``parseDrvName`` takes any
character but a letter for the begin of a version; people know the form with digits from
nvd and dix.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cmp_to_key
from itertools import zip_longest

from reconciler.model import (
    PackageChange,
    PackageKind,
    UnitName,
)

OUTPUTS = frozenset(
    {
        *("bin", "data", "debug", "dev", "devdoc", "devman", "dist", "doc", "env"),
        *(
            "examples",
            "getent",
            "info",
            "installedTests",
            "lib",
            "libgcc",
            "man",
            "out",
        ),
        *("py", "static", "terminfo", "tools"),
    }
)
"""Names of outputs in nixpkgs, which stand behind a version and are no part of it."""

_PATH = re.compile(r"/nix/store/[0-9a-z]{32}-(?P<name>.+?)(?:-(?P<version>[0-9].*))?")
_COMPONENT = re.compile(r"[0-9]+|[^0-9.-]+")

Versions = Mapping[str, frozenset[str]]


def split(path: str) -> tuple[str, str]:
    """Return name and version of the package in *path*; empty where it has none."""
    match = _PATH.fullmatch(path)
    if match is None:
        return path.rpartition("/")[2], ""
    name, version = match["name"], match["version"] or ""
    if version:
        return name, _without_output(version)
    return _without_output(name), ""


def _without_output(text: str) -> str:
    stem, _, last = text.rpartition("-")
    return stem if stem and last in OUTPUTS else text


def versions(paths: Iterable[str]) -> Versions:
    """Return the versions of each package in *paths*; what has none is left out."""
    found: dict[str, set[str]] = {}
    for path in paths:
        name, version = split(path)
        if version:
            found.setdefault(name, set()).add(version)
    return {name: frozenset(each) for name, each in found.items()}


def compare(
    before: Collection[str],
    after: Collection[str],
    restarts: Callable[[str], tuple[UnitName, ...]] = lambda _: (),
) -> tuple[PackageChange, ...]:
    """
    Return the packages whose versions differ between two closures, sorted by name.

    *restarts* tells of a package which units it restarts.
    """
    old, new = versions(before), versions(after)
    return tuple(
        PackageChange(
            name=name,
            kind=_kind(old.get(name, frozenset()), new.get(name, frozenset())),
            before=in_order(old.get(name, ())),
            after=in_order(new.get(name, ())),
            restarts=restarts(name),
        )
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def rebuilt(before: Collection[str], after: Collection[str]) -> int:
    """Return how many paths are new and have the name and version of an old one."""
    gone = set(before) - set(after)
    known = {split(path) for path in gone}
    return sum(split(path) in known for path in set(after) - set(before))


def restarting(
    units: Mapping[UnitName, tuple[Collection[str], Collection[str]]],
) -> Callable[[str], tuple[UnitName, ...]]:
    """
    Return what tells of a package which units it restarts.

    *units* are those that change, each with the closures of its old and its new file.
    """
    found: dict[str, list[UnitName]] = {}
    for unit, (before, after) in sorted(units.items()):
        for change in compare(before, after):
            found.setdefault(change.name, []).append(unit)
    return lambda name: tuple(found.get(name, ()))


def kernel_of(closure: Collection[str]) -> str:
    """Return the version of the kernel in *closure*; empty where there is none."""
    # `linux-6.12.3-modules` and the like are parts of it.
    kernels = versions(closure).get("linux", frozenset())
    whole = in_order(version for version in kernels if "-" not in version)
    return whole[-1] if whole else ""


def _kind(before: frozenset[str], after: frozenset[str]) -> PackageKind:
    if not before:
        return PackageKind.ADDED
    if not after:
        return PackageKind.REMOVED
    came, went = in_order(after - before), in_order(before - after)
    order = order_of(
        (came or in_order(after))[-1],
        (went or in_order(before))[-1],
    )
    if order > 0:
        return PackageKind.UPGRADED
    return PackageKind.DOWNGRADED if order < 0 else PackageKind.CHANGED


def in_order(found: Iterable[str]) -> tuple[str, ...]:
    """Return versions from the oldest to the newest, as Nix orders them."""
    return tuple(sorted(found, key=cmp_to_key(order_of)))


def order_of(one: str, other: str) -> int:
    """
    Return -1, 0 or 1 as *one* is older than *other*, the same, or newer.

    By components of digits and of others; ``pre`` comes before everything, and a number
    after a word (Nix manual, ``builtins.compareVersions``).
    """
    pairs = zip_longest(
        _COMPONENT.findall(one), _COMPONENT.findall(other), fillvalue=""
    )
    for left, right in pairs:
        if _is_less(left, right):
            return -1
        if _is_less(right, left):
            return 1
    return 0


def _is_less(left: str, right: str) -> bool:
    if left.isdecimal() and right.isdecimal():
        return int(left) < int(right)
    if left == "" and right.isdecimal():
        return True
    if "pre" in (left, right):
        return left == "pre" != right
    if right.isdecimal() or left.isdecimal():
        return right.isdecimal()
    return left < right
