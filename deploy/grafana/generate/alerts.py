"""
Grafana's own rules for the alerts on hosts, made from those for Prometheus.

For those who alert from Grafana; whoever runs Alertmanager leaves them out, or is told
everything twice.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.builders import alerting, expr, prometheus
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import alerting as model
from grafana_foundation_sdk.models.dashboard import DataSourceRef

RULES = Path(__file__).parents[2] / "prometheus" / "rules" / "alerts.yml"
GROUP = "reconciler-hosts"
FOLDER = "Reconciler"
DATASOURCE = "reconciler-prometheus"  # as in provisioning/datasources
QUERY, LAST, CONDITION = "A", "B", "C"
_EXPRESSIONS = "__expr__"
_MINUTE = 60

Json = dict[str, Any]


def alerts(rules: Path = RULES) -> Json:
    """Return what Grafana reads from `provisioning/alerting`."""
    groups = yaml.safe_load(rules.read_text())["groups"]
    (found,) = (group for group in groups if group["name"] == GROUP)
    group = alerting.RuleGroup(GROUP).interval(_MINUTE).folder_uid(FOLDER)
    for rule in found["rules"]:
        group.with_rule(_rule(rule))
    return {"apiVersion": 1, "groups": [_as_file(group.build())]}


def _rule(rule: Mapping[str, Any]) -> alerting.Rule:
    name = rule["alert"]
    annotations = {
        # Grafana's `$value` is a text with all that was asked.
        key: text.replace("$value", f"$values.{LAST}.Value")
        for key, text in rule["annotations"].items()
    }
    return (
        alerting.Rule(name)
        .uid(name)
        .for_val(rule.get("for", "0s"))
        .labels(rule["labels"])
        .annotations(annotations)
        .queries([_query(rule["expr"]), _last(), _condition()])
        .condition(CONDITION)
        # The queries return only what is wrong: nothing means that all is well.
        .no_data_state("OK")
        .exec_err_state("Error")
    )


def _query(text: str) -> alerting.Query:
    asked = prometheus.Dataquery().expr(" ".join(text.split())).instant().ref_id(QUERY)
    made = alerting.Query(QUERY).datasource_uid(DATASOURCE).model(asked)
    span = model.RelativeTimeRange(from_val=10 * _MINUTE, to=0)
    return made.relative_time_range(span)


def _last() -> alerting.Query:
    reduced = expr.TypeReduce().expression(QUERY).reducer("last").ref_id(LAST)
    return _computed(LAST, reduced)


def _condition() -> alerting.Query:
    above = expr.ExprTypeThresholdConditionsEvaluator().type("gt").params([0])
    condition = expr.ExprTypeThresholdConditions().evaluator(above)
    told = expr.TypeThreshold().expression(LAST).conditions([condition])
    return _computed(CONDITION, told.ref_id(CONDITION))


def _computed(name: str, what: expr.TypeReduce | expr.TypeThreshold) -> alerting.Query:
    what.datasource(DataSourceRef(type_val=_EXPRESSIONS, uid=_EXPRESSIONS))
    span = model.RelativeTimeRange(from_val=0, to=0)
    made = alerting.Query(name).datasource_uid(_EXPRESSIONS).model(what)
    return made.relative_time_range(span)


def _as_file(group: model.RuleGroup) -> Json:
    """Return *group* as files name its parts; the SDK writes for the HTTP API."""
    rules = [
        json.loads(json.dumps(rule, cls=JSONEncoder)) for rule in group.rules or ()
    ]
    for rule in rules:
        for name in ("folderUID", "orgID", "ruleGroup"):
            del rule[name]
    return {
        "orgId": 1,
        "name": group.title,
        "folder": group.folder_uid,
        "interval": "1m",
        "rules": rules,
    }
