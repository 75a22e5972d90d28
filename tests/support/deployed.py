"""What `deploy/` ships for Prometheus and Grafana, as tests look at it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERTMANAGER = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
RUNBOOKS = ROOT / "docs" / "runbooks"

Json = dict[str, Any]

OF_PROMETHEUS = frozenset({"up", "ALERTS", "scrape_duration_seconds"})
"""Metrics that Prometheus itself makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A query, and where it is asked."""

    where: str
    expr: str
    now: bool = True  # of one moment, not of a range
    shown: tuple[str, ...] = ()  # the labels that its result is shown by
    columns: frozenset[str] = frozenset()  # of a table: the labels that it has

    def __str__(self) -> str:
        """Return where it is asked, as the name of a test."""
        return self.where


@cache
def rules(kind: str = "alert") -> dict[str, Json]:
    """Return the rules that are shipped, by name; *kind*: ``alert`` or ``record``."""
    found: dict[str, Json] = {}
    for file in sorted((PROMETHEUS / "rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            found |= {rule[kind]: rule for rule in group["rules"] if kind in rule}
    return found


def dashboards() -> dict[str, Json]:
    """Return the dashboards that are shipped, by uid."""
    found = [json.loads(path.read_text()) for path in DASHBOARDS]
    return {one["uid"]: one for one in found}


def panels(dashboard: Json) -> list[Json]:
    """Return the panels of a dashboard, without its rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def asked_by_rules() -> Iterator[Asked]:
    """Yield the query of every rule."""
    for kind in ("alert", "record"):
        for name, rule in rules(kind).items():
            yield Asked(where=name, expr=rule["expr"])


def asked_by_dashboards() -> Iterator[Asked]:
    """Yield every query of every dashboard: of panels, events and variables."""
    for uid, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield Asked(
                    where=f"{uid}: {panel['title']}: {target['refId']}",
                    expr=target["expr"],
                    now=target["instant"],
                    shown=_labels(target.get("legendFormat", "")),
                    columns=_columns(panel),
                )
        for events in dashboard["annotations"]["list"]:
            yield Asked(
                where=f"{uid}: events: {events['name']}",
                expr=events["expr"],
                now=False,
                shown=_labels(events["titleFormat"]),
            )


def _labels(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"{{(\w+)}}", text))


def _columns(panel: Json) -> frozenset[str]:
    found = (t["options"] for t in panel["transformations"] if t["id"] == "organize")
    return frozenset(name for options in found for name in options["renameByName"])


def asked() -> list[Asked]:
    """Return every query that is shipped."""
    return [*asked_by_rules(), *asked_by_dashboards()]
