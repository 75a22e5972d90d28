"""
Where a host is and as whom it is reached: from everything that may say so (pure).

The settings win. Then comes what the repository says, in the order of `nix/places.nix`,
and last a rule in the settings, ``ssh.address``. Whoever gives the address is asked
first for the rest, too.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from reconciler.errors import EvaluationError
from reconciler.model import HostName, Target
from reconciler.settings import HostSettings, values

DEFAULT_PORT = 22
DEFAULT_USER = "root"
DEFAULT_ESCALATION = ("sudo", "-H", "--")
_DEPLOY_SUDO = "sudo -u"  # of deploy-rs, unless the repository says otherwise

Json = Mapping[str, Any]
T = TypeVar("T")

_TARGET = re.compile(  # user@address:port?options, as clan and nixos-unified write it
    r"(?:ssh(?:-ng)?://)?(?:(?P<user>[^@]*)@)?"
    r"(?:\[(?P<v6>[^]]+)\]|(?P<address>[^:?]+))(?::(?P<port>[0-9]+))?(?:\?.*)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What one of those who may say so says."""

    source: str  # deploy.nodes, deployment.targetHost, …
    address: str = ""
    port: int | None = None
    user: str = ""
    escalation: tuple[str, ...] = ()


def target_of(
    host: HostName, facts: Json, overrides: HostSettings, rule: str | None
) -> tuple[Target, str]:
    """
    Return where *host* is, and who says so.

    *facts* are of `nix/places.nix`. Where nobody says so, the address is empty. Raises
    EvaluationError for what ssh would take for something else.
    """
    places = [_place(host, fields) for fields in facts["places"]]
    if overrides.is_local:
        become = _first(None, (p.escalation for p in places)) or DEFAULT_ESCALATION
        return Target.here(become), "settings"
    if overrides.is_pulling:
        return Target(address=""), "settings"  # whatever the repository says
    chosen = _chosen(host, places, facts, overrides, rule)
    order = [chosen, *(place for place in places if place is not chosen)]
    target = Target(
        address=chosen.address,
        port=_first(overrides.port, (p.port for p in order))
        or facts["port"]
        or DEFAULT_PORT,
        user=_first(overrides.user, (p.user for p in order)) or DEFAULT_USER,
        escalation=_first(None, (p.escalation for p in order)) or DEFAULT_ESCALATION,
        identity=str(overrides.identity or ""),
    )
    _check(host, target, chosen.source)
    return target, chosen.source


def _check(host: HostName, target: Target, source: str) -> None:
    """Check what a commit says by the checks of the settings."""
    try:
        if target.address:
            values.address(target.address)
        values.port(target.port)
        values.user(target.user)
    except ValueError as error:
        message = f"{source or 'where it is'}: {error}"
        raise EvaluationError(message, host=host) from error


def _chosen(
    host: HostName,
    places: Sequence[Place],
    facts: Json,
    overrides: HostSettings,
    rule: str | None,
) -> Place:
    if overrides.address:
        return Place(source="settings", address=overrides.address)
    said = next((place for place in places if place.address), None)
    return said or _by_rule(host, facts, rule)


def _by_rule(host: HostName, facts: Json, rule: str | None) -> Place:
    fields = {"name": host, "hostName": facts["hostName"], "fqdn": facts["fqdn"]}
    if facts.get("nowhere"):
        return Place(source="")
    if rule is None or any(f"{{{n}}}" in rule and not v for n, v in fields.items()):
        return Place(source="")
    return Place(source="ssh.address", address=rule.format(**fields))


def _place(host: HostName, fields: Json) -> Place:
    source, address = fields["from"], fields.get("address") or ""
    if source == "deployment.targetHost" and address == host:
        source = "its name"
    options = _options(fields.get("sshOpts") or ())
    target = _TARGET.fullmatch(fields.get("target") or "")
    if target is not None:
        address = target["v6"] or target["address"]
        options = {k: v for k in ("port", "user") if (v := target[k])} | options
    port = fields.get("port") or options.get("port")
    return Place(
        source=source,
        address=address,
        port=int(port) if port else None,
        user=fields.get("user") or options.get("user") or "",
        escalation=_escalation(fields),
    )


def _escalation(fields: Json) -> tuple[str, ...]:
    """Return what makes another user into root; deploy-rs adds the user's name."""
    sudo = fields.get("sudo")
    if sudo is None:
        return tuple(fields.get("escalation") or ())
    if sudo == _DEPLOY_SUDO:
        return ()
    return (*shlex.split(sudo), fields.get("profileUser") or DEFAULT_USER)


def _options(words: Sequence[str]) -> dict[str, str]:
    """Return the port and the user that arguments of ssh(1) name; the first counts."""
    found: dict[str, str] = {}
    for name, value in _pairs(words):
        found.setdefault(name, value)
    return found


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    rest = iter(words)
    for word in rest:
        flag, value = word[:2], word[2:].strip()
        if flag not in {"-p", "-l", "-o"}:
            continue
        value = value or next(rest, "")
        if flag == "-o":
            option, _, value = re.sub(r"\s*=\s*|\s+", "=", value, count=1).partition(
                "="
            )
            flag = {"port": "-p", "user": "-l"}.get(option.lower(), "")
        if flag and value:
            yield {"-p": "port", "-l": "user"}[flag], value


def _first(given: T | None, others: Iterator[T | None]) -> T | None:
    return given or next((other for other in others if other), None)
