"""
Layout ``paths``: systems that somebody else has built, named by a file of JSON.

Nothing is evaluated. A system is fetched by the machine's own Nix, which asks the
caches and believes the keys that it is set to, and its units are read from its own
``etc/systemd/system``: as NixOS writes that folder (``generateUnits`` in its
systemd-lib.nix), and as systemd reads it.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.desired.codec import Where
from reconciler.desired.nix import Nix
from reconciler.desired.places import target_of
from reconciler.desired.units import Declaration, desired_units, directives_of
from reconciler.errors import (
    CommandError,
    EvaluationError,
    FetchError,
    LayoutError,
    UnknownHostError,
    quote,
)
from reconciler.model import Desired, HostName, StorePath

LIMIT = 16 << 20
"""Bytes of the largest file of paths that is read."""

UNIT_LIMIT = 1 << 20
"""Bytes of a unit file that are looked at."""

_NAME = re.compile(r"[0-9a-z]{32}-[0-9A-Za-z+._?=-]+", re.ASCII)
_MASKED = "/dev/null"
_DEFAULT = "default.target"
_PARTS_OF_A_SYSTEM = ("bin/switch-to-configuration", "etc", "init")
_LINKS = {"wants": "wanted_by", "requires": "required_by", "upholds": "upheld_by"}

# The path is in no cache, or in one that is not trusted.
_NOT_THERE = re.compile(
    r"does not exist and cannot be created|don't know how to build|"
    r"no substituter that can build|is required, but there is no|"
    r"lacks a (?:valid )?signature|not signed by|is not valid|build of '[^']*' failed"
)


def hosts(file: Path) -> tuple[HostName, ...]:
    """Return the names in *file*; raises LayoutError."""
    return tuple(HostName(name) for name in _paths(file))


def evaluate(
    nix: Nix, file: Path, host: HostName, called: Sequence[HostName], where: Where
) -> Desired:
    """
    Return what *host* should be: the system that *file* names, once it is here.

    It is *called* one of these there.

    Raises UnknownHostError, LayoutError, EvaluationError for what is no system,
    FetchError where it cannot be had just now, CommandError.
    """
    known = _paths(file)
    name = next((name for name in called if name in known), None)
    if name is None:
        raise UnknownHostError(host, known=tuple(known))
    toplevel = _store_path(host, file.name, known[name])
    _fetch(nix, host, toplevel)
    return read(host, toplevel, where)


def read(host: HostName, toplevel: Path, where: Where) -> Desired:
    """Return what the system *toplevel*, which is here, says *host* should be."""
    missing = [x for x in _PARTS_OF_A_SYSTEM if not os.path.lexists(toplevel / x)]
    if missing:
        message = (
            f"{toplevel} is no NixOS system: it has no {missing[0]}; write the path of"
            " config.system.build.toplevel"
        )
        raise EvaluationError(message, host=host)
    facts: dict[str, Any] = {
        "places": [],
        "port": None,
        "hostName": _line(toplevel / "etc/hostname"),
        "fqdn": None,
    }
    target, source = target_of(host, facts, where.overrides, where.rule)
    units = toplevel / "etc/systemd/system"
    try:
        declarations = list(_declarations(units)) if units.is_dir() else []
    except OSError as error:
        message = f"{units} cannot be read: {error}"
        raise EvaluationError(message, host=host) from error
    return Desired(
        host=host,
        toplevel=StorePath(str(toplevel)),
        derivation=StorePath(str(toplevel)),  # fetched, and never built
        units=desired_units(declarations, default_unit=_default_unit(units)),
        target=target,
        address_from=source,
        specialisations=tuple(_names(toplevel / "specialisation")),
    )


# --- the file --------------------------------------------------------------------


def _paths(file: Path) -> Mapping[str, object]:
    try:
        with file.open("rb") as stream:
            content = stream.read(LIMIT + 1)
        if len(content) > LIMIT:
            message = f"{file.name} is larger than {LIMIT >> 20} MiB"
            raise LayoutError(message)
        found = json.loads(content, object_pairs_hook=_table)
    except OSError as error:
        message = f"{file.name} cannot be read: {error.strerror}"
        raise LayoutError(message) from error
    except json.JSONDecodeError as error:
        message = f"{file.name}:{error.lineno} is no JSON: {error.msg}"
        raise LayoutError(message) from error
    except (ValueError, RecursionError) as error:
        message = f"{file.name} is no JSON with a path for each host: {error}"
        raise LayoutError(message) from error
    if isinstance(found, dict):
        return found
    message = f'{file.name} should be {{"host": "/nix/store/…"}}'
    raise LayoutError(message)


def _table(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        message = f"{twice!r} is in it twice"
        raise ValueError(message)
    return found


def _store_path(host: HostName, file: str, value: object) -> Path:
    store = os.environ.get("NIX_STORE_DIR", "/nix/store")
    if isinstance(value, str):
        folder, _, name = value.rpartition("/")
        if folder == store and _NAME.fullmatch(name):
            return Path(value)
    message = (
        f"{file} has no path of the store for it, such as {store}/…-nixos-system-…"
    )
    raise EvaluationError(message, host=host, file=file)


# --- the system ------------------------------------------------------------------


def _fetch(nix: Nix, host: HostName, toplevel: Path) -> None:
    try:
        nix.fetch(str(toplevel))
    except CommandError as error:
        if not _NOT_THERE.search(error.stderr):
            raise
        told = (
            f"{host}: {toplevel} is neither here nor in a cache that Nix asks and"
            " trusts: have it pushed before the commit, and look at `substituters` and"
            f" `trusted-public-keys` (nix.options, nix.conf): {quote(error.stderr)}"
        )
        raise FetchError(told, cause=error) from error


def _declarations(folder: Path) -> Iterator[Declaration]:
    """Yield the units of NixOS's own making, as an evaluation would tell of them."""
    entries = sorted(folder.iterdir())
    # Of some there is but what is added: `getty@tty1.service.d/overrides.conf`.
    names = sorted({path.name.removesuffix(".d") for path in entries})
    files = {name: file for name in names if (file := _file(folder / name))}
    links = list(_links(entries))
    for name, file in files.items():
        pulled = {
            field: tuple(
                of for of, kind, child in links if (kind, child) == (field, name)
            )
            for field in _LINKS.values()
        }
        yield Declaration(
            name=name,
            path=None if _is_masked(file) else file,
            directives={} if _is_masked(file) else directives_of(_lines(Path(file))),
            aliases=tuple(_aliases(entries, name)),
            **pulled,
        )


def _file(path: Path) -> str:
    """
    Return the unit file that *path* or the drop-in beside it leads to, of NixOS's own.

    Others are those of packages, which an evaluation does not tell of either.
    """
    for link in (path.with_name(f"{path.name}.d") / "overrides.conf", path):
        told = _target(link)
        if told == _MASKED or (f"/{path.name}" in told and "-unit-" in told):
            return told
    return ""


def _is_masked(file: str) -> bool:
    return file == _MASKED or os.path.realpath(file) == _MASKED


def _links(entries: Iterable[Path]) -> Iterator[tuple[str, str, str]]:
    """Yield who pulls in whom, and how: what lies in ``multi-user.target.wants``."""
    for folder in entries:
        stem, _, suffix = folder.name.rpartition(".")
        if suffix in _LINKS and folder.is_dir():
            yield from ((stem, _LINKS[suffix], name) for name in _names(folder))


def _aliases(entries: Iterable[Path], name: str) -> Iterator[str]:
    for path in entries:
        if path.name != _DEFAULT and _target(path) == name:
            yield path.name


def _default_unit(folder: Path) -> str:
    return Path(_target(folder / _DEFAULT)).name or "multi-user.target"


def _lines(file: Path) -> list[str]:
    with file.open("rb") as stream:
        text = stream.read(UNIT_LIMIT).decode("utf-8", "replace")
    # systemd.syntax(7): a line that ends in a backslash goes on in the next one.
    return text.replace("\\\n", " ").split("\n")


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _line(file: Path) -> str | None:
    try:
        return file.read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
