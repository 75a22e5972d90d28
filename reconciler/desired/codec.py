"""Desired states as JSON: as Nix prints them, and as the cache keeps them."""

import dataclasses
import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.desired.base import base_from_json, base_from_nix
from reconciler.desired.checks import checks_from_json, desired_checks
from reconciler.desired.keys import desired_keys, keys_from_json
from reconciler.desired.places import target_of
from reconciler.desired.rules import desired_rules, ruled, rules_from_json
from reconciler.desired.secrets import desired_secrets, secrets_from_json
from reconciler.desired.shared import shared
from reconciler.desired.ssh import ssh_from_json, ssh_from_nix
from reconciler.desired.units import Declaration, desired_units, directives_of
from reconciler.errors import EvaluationError, StateError
from reconciler.model import (
    Desired,
    DesiredUnit,
    Heal,
    HostName,
    StorePath,
    SystemKind,
    Target,
)
from reconciler.settings import Build, HostSettings

Json = Mapping[str, Any]

_TESTING = "its branches testing-<host> are served by it alone"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What the settings say of where a host is."""

    overrides: HostSettings
    rule: str | None = None  # ssh.address


def to_json(desired: Desired) -> str:
    """Return *desired* as text for the cache."""
    return json.dumps(dataclasses.asdict(desired), sort_keys=True, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(value)


def from_json(text: str) -> Desired:
    """Return what ``to_json`` was given; raises StateError for any other text."""
    try:
        fields = json.loads(text)
        return _desired(fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"a cached evaluation cannot be read: {error!r}"
        raise StateError(message) from error


def from_nix(
    host: HostName, facts: Json, where: Where, *, roots: Sequence[Path]
) -> Desired:
    """
    Return the desired state that *facts* (``nix/facts.nix``) tell of *host*.

    *roots* are the checkout, and a copy that Nix read instead. Raises EvaluationError
    for a key or a health check that cannot be.
    """
    deployment, kind = facts["deployment"], SystemKind(facts["kind"])
    target, source = target_of(host, facts["places"], where.overrides, where.rule)
    declarations = [_declaration(name, unit) for name, unit in facts["units"].items()]
    rules = desired_rules(host, facts["rules"])
    units = desired_units(declarations, default_unit=facts["defaultUnit"])
    return Desired(
        host=host,
        toplevel=StorePath(facts["toplevel"]),
        derivation=StorePath(facts["derivation"]),
        platform=facts["platform"],
        programs=next(map(StorePath, facts["programsHere"]), None),
        units=shared(ruled(units, rules).values()),
        target=target,
        address_from=source,
        keys=desired_keys(host, facts["keys"], roots),
        tags=tuple(sorted(set(deployment["tags"]))),
        fast_connection=deployment["hasFastConnection"],
        build_on_host=_is_built_there(deployment, where.overrides),
        checks=desired_checks(host, facts["checks"]),
        rules=rules,
        warnings=(*facts["warnings"], *_warnings(facts["base"]["updaters"])),
        secrets=desired_secrets(facts["secrets"], roots),
        ssh=ssh_from_nix(facts["ssh"]) if kind is SystemKind.NIXOS else None,
        base=base_from_nix(facts["base"]),
        specialisation=_specialisation(host, deployment),
        specialisations=tuple(deployment["specialisations"]),
        kind=kind,
    )


def _is_built_there(deployment: Json, overrides: HostSettings) -> bool:
    if overrides.build is None:
        return bool(deployment["buildOnHost"])
    return overrides.build is Build.HOST


def _specialisation(host: HostName, deployment: Json) -> str:
    """Return the one that the host is to run; raises EvaluationError for none."""
    name, names = deployment["specialisation"] or "", deployment["specialisations"]
    if not name or name in names:
        return str(name)
    has = ", ".join(names) if names else "none"
    message = (
        f"deployment.specialisation is {name!r}, and the system has no specialisation"
        f" of that name; it has: {has}"
    )
    raise EvaluationError(message, host=host)


def _warnings(updaters: Sequence[str]) -> Iterator[str]:
    """Yield what is to be known of what switches the host without us."""
    for name in updaters:
        testing = f"; {_TESTING}" if name == "services.comin" else ""
        yield (
            f"{name} switches this host without us: what it brings is reported, and not"
            " undone, until a commit brings another system; switch one of the two off"
            f"{testing}"
        )


def _declaration(name: str, unit: Json) -> Declaration:
    return Declaration(
        name=name,
        path=unit["path"],
        directives=directives_of(unit["lines"]),
        aliases=tuple(unit["aliases"]),
        wanted_by=tuple(unit["wantedBy"]),
        required_by=tuple(unit["requiredBy"]),
        upheld_by=tuple(unit["upheldBy"]),
    )


def _desired(fields: Json) -> Desired:
    target = dict(fields["target"])
    target["escalation"] = tuple(target["escalation"])
    units = map(_unit, fields["units"].values())
    return Desired(
        **{
            **fields,
            "units": shared(units),
            "target": Target(**target),
            "keys": keys_from_json(fields["keys"]),
            "tags": tuple(fields["tags"]),
            "checks": checks_from_json(fields["checks"]),
            "rules": rules_from_json(fields.get("rules", {})),
            "warnings": tuple(fields["warnings"]),
            "secrets": secrets_from_json(fields.get("secrets", ())),
            "ssh": ssh_from_json(fields.get("ssh")),
            "base": base_from_json(fields.get("base")),
            "specialisations": tuple(fields.get("specialisations", ())),
            "kind": SystemKind(fields.get("kind", SystemKind.NIXOS)),
        }
    )


def _unit(fields: Json) -> DesiredUnit:
    return DesiredUnit(**{**fields, "heal": Heal(fields.get("heal", Heal.ALL))})
