"""The dashboards as files: true to their code, and as a person would want them."""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import alerting
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.generate.alerts import DATASOURCE, GROUP
from deploy.grafana.generate.files import ALERTS, FOLDER, files
from deploy.grafana.generate.host import VERDICTS
from deploy.grafana.generate.panels import OUTCOMES
from reconciler.model import Outcome, Verdict
from tests.support.deployed import GRAFANA, PROMETHEUS, Json, dashboards, panels, rules
from tests.support.promql import selectors
from tests.support.promtool import promtool

UIDS = sorted(dashboards())
WIDTH = 24
NUMBERS = ("Unreachable", "Reboot needed")
"""Panels that count what has a series only while there is one."""

register_default_plugins()


def all_panels() -> dict[str, Json]:
    return {
        f"{uid}: {panel['title']}": panel
        for uid, dashboard in dashboards().items()
        for panel in panels(dashboard)
    }


# --- code and files --------------------------------------------------------------


def test_the_files_are_what_the_code_generates() -> None:
    told = "run: make dashboards"
    found = {path.relative_to(FOLDER) for path in GRAFANA.glob("dashboards/*")}

    assert found | {ALERTS} == files().keys(), told
    for path, text in files().items():
        assert (FOLDER / path).read_text() == text, told


def test_grafanas_own_classes_read_a_dashboard_and_lose_nothing(
    subtests: pytest.Subtests,
) -> None:
    for uid in UIDS:
        with subtests.test(uid):
            whole = dashboards()[uid]

            read = json.loads(json.dumps(Dashboard.from_json(whole), cls=JSONEncoder))

            # The SDK knows nothing of what events of Prometheus are shown as.
            ours = [dict(events) for events in whole["annotations"]["list"]]
            for events in ours:
                assert events.pop("titleFormat")
                assert events.pop("textFormat")
                assert events.pop("step")
            assert read == {**whole, "annotations": {"list": ours}}


# --- what a person sees ----------------------------------------------------------


def test_a_panel_explains_itself(subtests: pytest.Subtests) -> None:
    for name, panel in all_panels().items():
        with subtests.test(name):
            assert panel["title"]
            assert panel["description"].endswith(".")
            assert panel["targets"]
            defaults = panel["fieldConfig"]["defaults"]
            assert defaults["unit"]
            assert defaults["thresholds"]["steps"][0]["value"] is None


def test_a_series_has_a_name(subtests: pytest.Subtests) -> None:
    """Else the legend would show every label there is."""
    for name, panel in all_panels().items():
        with subtests.test(name):
            if panel["type"] in {"timeseries", "state-timeline", "bargauge"}:
                assert all(target.get("legendFormat") for target in panel["targets"])


def test_times_are_shown_as_times(subtests: pytest.Subtests) -> None:
    """Bare seconds in the millions tell nobody anything."""
    for name, panel in all_panels().items():
        with subtests.test(name):
            of_time = re.search(
                r"_seconds(_bucket|_sum|_total)?[{\[:]", json.dumps(panel)
            )
            unit = panel["fieldConfig"]["defaults"]["unit"]
            if of_time and "time()" in json.dumps(panel) and panel["type"] != "table":
                compared = "> bool 0)" in panel["targets"][0]["expr"].removesuffix(")")
                assert unit == "s" or (unit == "short" and compared), panel["title"]
            if "histogram_quantile" in json.dumps(panel):
                assert unit == "s"


def test_the_chosen_reconciler_and_hosts_are_obeyed(subtests: pytest.Subtests) -> None:
    for name, panel in all_panels().items():
        with subtests.test(name):
            for target in panel["targets"]:
                expr = target["expr"]
                assert target["datasource"] == panel["datasource"]
                assert panel["datasource"] == {
                    "type": "prometheus",
                    "uid": "${datasource}",
                }
                for selector in selectors(expr):
                    chosen = ("instance", "=~", "$instance") in selector.matchers
                    assert chosen or selector.metric == "ALERTS", selector
                assert "HOSTS" not in expr
                assert "HERE" not in expr


def test_panels_lie_side_by_side(subtests: pytest.Subtests) -> None:
    """Every line is full, and none lies upon another."""
    for uid in UIDS:
        with subtests.test(uid):
            taken: set[tuple[int, int]] = set()
            for panel in dashboards()[uid]["panels"]:
                grid = panel["gridPos"]
                cells = set(
                    itertools.product(
                        range(grid["x"], grid["x"] + grid["w"]),
                        range(grid["y"], grid["y"] + grid["h"]),
                    )
                )
                assert taken.isdisjoint(cells), panel["title"]
                taken |= cells
            bottom = max(y for _, y in taken) + 1
            assert taken == set(itertools.product(range(WIDTH), range(bottom)))


def test_a_dashboard_leads_to_the_others(subtests: pytest.Subtests) -> None:
    for uid in UIDS:
        with subtests.test(uid):
            dashboard = dashboards()[uid]

            assert dashboard["tags"] == ["reconciler"]
            (link,) = dashboard["links"]
            assert link["type"] == "dashboards"
            assert link["tags"] == ["reconciler"]
            assert link["includeVars"]
            assert link["keepTime"]
            numbers = [panel["id"] for panel in dashboard["panels"]]
            assert numbers == list(range(1, len(numbers) + 1))
            for other in re.findall(r"/d/([\w-]+)", json.dumps(dashboard)):
                assert other in UIDS


def test_variables_that_are_used_are_there(subtests: pytest.Subtests) -> None:
    for uid in UIDS:
        with subtests.test(uid):
            dashboard = dashboards()[uid]
            names = {one["name"] for one in dashboard["templating"]["list"]}

            used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard))) - {"1"}
            assert {one for one in used if not one.startswith("__")} == names
            events = {one["name"] for one in dashboard["annotations"]["list"]}
            assert events == {"Commits", "Deployments", "Failed deployments", "Alerts"}


def test_columns_of_tables_come_from_their_queries(subtests: pytest.Subtests) -> None:
    for uid in UIDS:
        with subtests.test(uid):
            for table in (p for p in panels(dashboards()[uid]) if p["type"] == "table"):
                (organized,) = (
                    t["options"]
                    for t in table["transformations"]
                    if t["id"] == "organize"
                )
                asked = {f"Value #{target['refId']}" for target in table["targets"]}
                labels = set(
                    re.findall(r"\w+", " ".join(t["expr"] for t in table["targets"]))
                )
                titles = organized["renameByName"]
                assert {name for name in titles if name.startswith("Value")} <= asked
                assert {n for n in titles if not n.startswith("Value")} <= labels
                changed = {
                    o["matcher"]["options"] for o in table["fieldConfig"]["overrides"]
                }
                assert changed <= set(titles.values())
                assert len(set(titles.values())) == len(titles)


def test_every_verdict_and_outcome_has_its_colour() -> None:
    """A new one would be shown as something else."""
    told = {name for name, _ in VERDICTS.values()}
    assert told == {"no plan", *(verdict.value for verdict in Verdict)}
    assert OUTCOMES.keys() == {outcome.value for outcome in Outcome}


# --- what they show ---------------------------------------------------------------


def test_nothing_is_shown_while_no_reconciler_answers(tmp_path: Path) -> None:
    """A green 0 of unreachable hosts was, of a reconciler that was down."""
    asked = [
        target["expr"]
        for panel in all_panels().values()
        for target in panel["targets"]
        if "ALERTS" not in target["expr"]  # Prometheus itself tells of these
    ]
    assert len(asked) > 50
    nothing: list[Json] = []

    assert answered(tmp_path, [], dict.fromkeys(asked, nothing)) == ""


def test_no_host_is_shown_as_none_while_a_reconciler_answers(tmp_path: Path) -> None:
    here = 'instance="r", host="lufta"'
    kinds = ("unreachable", "reboot-needed")
    there = [f'reconciler_drift_items{{{here}, kind="{kind}"}}' for kind in kinds]
    panels = [all_panels()[f"reconciler-fleet: {name}"] for name in NUMBERS]
    asked = [panel["targets"][0]["expr"] for panel in panels]
    answers: dict[int, list[Json]] = {
        value: [{"labels": "{}", "value": value}] for value in (0, 1)
    }

    for series, value in (there[:0], 0), (there, 1):
        shown = dict.fromkeys(asked, answers[value])
        well = ['reconciler_build_info{instance="r"}', *series]
        assert answered(tmp_path, well, shown) == ""


def answered(
    tmp_path: Path, series: Sequence[str], answers: Mapping[str, list[Json]]
) -> str:
    """Return what promtool says unless, with *series* at 1, *answers* are given."""
    looks = [
        {"expr": chosen(expr), "eval_time": "30m", "exp_samples": samples}
        for expr, samples in answers.items()
    ]
    given = [{"series": one, "values": "1x60"} for one in series]
    test = {"interval": "1m", "input_series": given, "promql_expr_test": looks}
    file = tmp_path / "asked.yml"
    file.write_text(json.dumps({"rule_files": [], "tests": [test]}))
    tested = promtool(["test", "rules", str(file)])
    return tested.stdout.decode() if tested.returncode else ""


def chosen(expr: str) -> str:
    """Return *expr* as Grafana sends it for all reconcilers and hosts."""
    spans = re.sub(r"\$__(range|rate_interval|interval)", "5m", expr)
    return re.sub(r"\$(instance|host)\b", ".*", spans)


# --- provisioning ----------------------------------------------------------------


def test_grafana_alerts_on_what_prometheus_alerts_on() -> None:
    whole = yaml.safe_load((GRAFANA / ALERTS).read_text())
    (group,) = whole["groups"]
    own = yaml.safe_load((PROMETHEUS / "rules/alerts.yml").read_text())
    (theirs,) = (g["rules"] for g in own["groups"] if g["name"] == GROUP)

    assert group["name"] == GROUP
    assert [rule["title"] for rule in group["rules"]] == [r["alert"] for r in theirs]
    for rule in group["rules"]:
        shipped = rules()[rule["title"]]
        query = rule["data"][0]
        assert query["model"]["expr"].split() == shipped["expr"].split()
        assert query["datasourceUid"] == DATASOURCE
        assert rule["for"] == shipped.get("for", "0s")
        assert rule["labels"] == shipped["labels"]
        assert rule["annotations"].keys() == shipped["annotations"].keys()
        text = json.dumps(rule["annotations"])
        assert "$value " not in text
        assert "$value}" not in text
        assert alerting.Rule.from_json(rule).title == rule["title"]


def test_a_rule_of_grafana_goes_from_the_query_to_the_condition() -> None:
    (group,) = yaml.safe_load((GRAFANA / ALERTS).read_text())["groups"]
    for rule in group["rules"]:
        names = [query["refId"] for query in rule["data"]]
        assert rule["condition"] == names[-1]
        for before, query in itertools.pairwise(rule["data"]):
            assert query["model"]["expression"] == before["refId"]
        condition = rule["data"][-1]["model"]["conditions"][0]["evaluator"]
        assert condition == {"type": "gt", "params": [0]}
        assert len(rule["uid"]) <= 40


def test_the_data_source_is_the_one_that_rules_name() -> None:
    file = GRAFANA / "provisioning/datasources/reconciler.yml"
    (source,) = yaml.safe_load(file.read_text())["datasources"]
    scraped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())

    assert source["uid"] == DATASOURCE
    assert source["type"] == "prometheus"
    interval = scraped["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval
