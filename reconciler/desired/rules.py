"""How single units are treated: ``deployment.units``, as Nix tells of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler.errors import EvaluationError
from reconciler.model import (
    DesiredUnit,
    Heal,
    HostName,
    UnitName,
    UnitRule,
    is_unit_name,
)

Json = Mapping[str, Any]
Rules = Mapping[UnitName, UnitRule]

_HEAL = {True: Heal.ALL, False: Heal.NOTHING}
_SERVICE = ".service"


def desired_rules(host: HostName, rules: Json) -> dict[UnitName, UnitRule]:
    """Return the rules by whole unit name; raises EvaluationError for no unit's."""
    return {_unit(host, name): _rule(rule) for name, rule in sorted(rules.items())}


def rules_from_json(rules: Json) -> dict[UnitName, UnitRule]:
    """Return what was kept of `desired_rules`."""
    return {
        UnitName(name): UnitRule(heal=Heal(rule["heal"]), may_fail=rule["may_fail"])
        for name, rule in rules.items()
    }


def ruled(
    units: Mapping[UnitName, DesiredUnit], rules: Rules
) -> dict[UnitName, DesiredUnit]:
    """Return *units*, each with what its rule says."""
    return {
        name: replace(unit, heal=rules[name].heal, may_fail=rules[name].may_fail)
        if name in rules
        else unit
        for name, unit in units.items()
    }


def _rule(rule: Json) -> UnitRule:
    heal = rule["heal"]
    return UnitRule(
        heal=_HEAL[heal] if isinstance(heal, bool) else Heal(heal),
        may_fail=rule["mayFail"],
    )


def _unit(host: HostName, name: str) -> UnitName:
    for whole in (name, name + _SERVICE):
        if is_unit_name(whole):
            return UnitName(whole)
    message = (
        f"deployment.units.{name!r} is no name of a unit: write one such as"
        ' deployment.units."app.service"'
    )
    raise EvaluationError(message, host=host)
