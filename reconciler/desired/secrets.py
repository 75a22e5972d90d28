"""Secrets that hosts decrypt themselves: what Nix says of them, and their files."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.desired.recipients import (
    age_recipients,
    sops_others,
    sops_recipients,
)
from reconciler.model import DesiredSecret

Json = Mapping[str, Any]

_OTHER_KEYS = "the host has other keys for it than those of its SSH server"
LIMIT = 4 << 20
"""Bytes of the largest file of secrets that is looked at."""


def desired_secrets(
    facts: Iterable[Json], roots: Sequence[Path]
) -> tuple[DesiredSecret, ...]:
    """Return the secrets that *facts* (``nix/secrets.nix``) tell of a host."""
    # Many secrets lie in one file.
    look = functools.cache(_recipients)
    return tuple(
        _secret(fact, roots, look(fact["file"], fact["tool"], fact["pgp"]))
        for fact in facts
    )


def secrets_from_json(fields: Iterable[Json]) -> tuple[DesiredSecret, ...]:
    """Return the secrets in a cached evaluation; TypeError or KeyError."""
    return tuple(
        DesiredSecret(
            **{
                **one,
                "readers": tuple(one["readers"]),
                "recipients": tuple(one["recipients"]),
            }
        )
        for one in fields
    )


def _secret(
    fact: Json, roots: Sequence[Path], found: tuple[tuple[str, ...], str]
) -> DesiredSecret:
    recipients, why = found
    readers = tuple(dict.fromkeys(fact["readers"]))
    return DesiredSecret(
        name=fact["name"],
        tool=fact["tool"],
        file=_in_repository(Path(fact["file"]), roots),
        path=fact["path"],
        user=fact["user"],
        group=fact["group"],
        mode=_mode(fact["mode"]),
        renewed=fact["renewed"],
        readers=readers,
        recipients=recipients if readers else (),
        unjudged=why if readers else _OTHER_KEYS,
    )


def _recipients(path: str, tool: str, pgp: bool) -> tuple[tuple[str, ...], str]:  # noqa: FBT001 -- a key of the cache
    """Return whom a file names that can be compared; where nobody, why not."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(LIMIT + 1)
    except (OSError, ValueError):
        return (), "it cannot be read"
    if len(content) > LIMIT:
        return (), "it is larger than 4 MiB"
    if tool == "agenix":
        found = age_recipients(content)
        return found, "" if found else "it names no SSH key"
    if others := sops_others(content, pgp=pgp):
        return (), f"{others} may decrypt it, too"
    found = sops_recipients(content, pgp=pgp)
    return found, "" if found else "it names no key of age"


def _in_repository(path: Path, roots: Sequence[Path]) -> str:
    for base in (form for root in roots for form in (root.absolute(), root.resolve())):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return str(path)


def _mode(text: str) -> int:
    """Return the mode; where it is none, the host tells so when it switches."""
    try:
        return int(text, 8)
    except ValueError:
        return 0o400
