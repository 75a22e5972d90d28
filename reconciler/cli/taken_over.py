"""What an export of NixOps's becomes here: files, host keys, settings, notes."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from reconciler.app import known_hosts
from reconciler.desired.nixops_physical import network
from reconciler.desired.nixops_state import Deployment, Machine
from reconciler.errors import CommandError
from reconciler.errors import quote as cut
from reconciler.model import HostName, Target
from reconciler.remote import HostKey, public_key
from reconciler.settings import Settings
from reconciler.settings.nix_values import value

PHYSICAL = "nixops-physical.nix"  # in the state directory
IDENTITIES = "identities"

Value = Callable[[str], object]
"""Returns the plain value of a Nix expression; raises CommandError, ValueError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file to be written, for its owner alone."""

    path: Path
    content: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One host key to be recorded."""

    host: HostName
    target: Target
    key: HostKey


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """All of it; nothing is done yet."""

    settings: Mapping[str, object]  # to be added
    files: tuple[File, ...]
    keys: tuple[Key, ...]
    known_hosts: Path
    notes: tuple[str, ...]  # what is not taken over, and what to do about it


def taken_over(found: Deployment, settings: Settings, value_of: Value) -> TakenOver:
    """Return what *found* becomes with the state directory of *settings*."""
    notes = [*_notes(found)]
    arguments = dict(_arguments(found, value_of, notes))
    identities = {
        one.name: settings.state.path / IDENTITIES / quote(one.name, safe="")
        for one in found.machines
        if one.private_key
    }
    physical = settings.state.path / PHYSICAL
    files = [File(path=physical, content=network(found))]
    files += [
        File(path=identities[one.name], content=f"{one.private_key}\n")
        for one in found.machines
        if one.name in identities
    ]
    return TakenOver(
        settings=_settings(found, arguments, physical, identities),
        files=tuple(files),
        keys=tuple(_keys(found, notes)),
        known_hosts=known_hosts(settings),
        notes=tuple(notes),
    )


def _settings(
    found: Deployment,
    arguments: Mapping[str, object],
    physical: Path,
    identities: Mapping[str, Path],
) -> dict[str, object]:
    repository: dict[str, object] = {"layout": "nixops"}
    if found.files:
        repository["entry"] = _entries(found)
    if arguments:
        repository["arguments"] = dict(arguments)
    repository["physical"] = str(physical)
    hosts = {name: {"identity": str(path)} for name, path in identities.items()}
    return {
        "repository": repository,
        **({"nix": {"path": list(found.search_path)}} if found.search_path else {}),
        **({"hosts": hosts} if hosts else {}),
    }


def _entries(found: Deployment) -> list[str]:
    if not (above := _above(found)):
        return list(found.files)
    return [str(PurePosixPath(file).relative_to(above)) for file in found.files]


def _above(found: Deployment) -> str:
    """Return the folder that all network files are in; nothing if they are in none."""
    if not all(file.startswith("/") for file in found.files):
        return ""
    return os.path.commonpath([PurePosixPath(file).parent for file in found.files])


def _arguments(
    found: Deployment, value_of: Value, notes: list[str]
) -> Iterator[tuple[str, object]]:
    """Yield the values of the arguments that are plain; note the others."""
    for name, expression in found.arguments.items():
        try:
            yield name, value(value_of(expression))
        except (CommandError, ValueError):
            notes.append(
                f"the argument {name} is an expression and no plain value"
                f" ({cut(expression)}): write what it means as"
                f" repository.arguments.{name}, or into the repository"
            )


def _keys(found: Deployment, notes: list[str]) -> Iterator[Key]:
    for one in found.machines:
        host = HostName(one.name)
        if not one.host_key or not one.address:
            notes.append(
                f"{host}: NixOps knows no host key of it: reconciler trust {host}"
            )
            continue
        try:
            key = public_key(one.host_key)
        except ValueError:
            notes.append(
                f"{host}: its host key in the export is none: reconciler trust {host}"
            )
        else:
            target = Target(address=one.address, port=one.port)
            yield Key(host=host, target=target, key=key)


def _notes(found: Deployment) -> Iterator[str]:
    if found.files:
        yield (
            f"repository.entry: NixOps read {', '.join(found.files)}; write the paths"
            " of these files in the repository"
        )
    if found.others:
        yield f"resources that are no machines are left out: {', '.join(found.others)}"
    for one in found.machines:
        yield from _notes_of(one)


def _notes_of(machine: Machine) -> Iterator[str]:
    name = machine.name
    if machine.type != "none":
        yield (
            f"{name}: it is of type {machine.type}, and what NixOps's own modules set"
            " for those (file systems, boot loader, network) is not in the export:"
            " write it into the repository, and read `reconciler plan` before you adopt"
        )
    if not machine.address:
        yield f"{name}: NixOps knows no address of it: set hosts.{name}.address"
    if machine.type == "container":
        yield f"{name}: it is reached through its host, by a ProxyJump in ssh_config"
    if machine.disk_keys:
        yield (
            f"{name}: NixOps made keys of its disks, which are in the export alone:"
            " keep that, or the disks cannot be opened any more"
        )
    if machine.key_file and not machine.private_key:
        yield f"{name}: NixOps logs in with {machine.key_file}: set ssh.identity"
