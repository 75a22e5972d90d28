"""The rules for Prometheus: each alert fires, clears, and says what to do."""

import re
from dataclasses import replace
from functools import cache
from itertools import zip_longest
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from reconciler.metrics import Metrics
from reconciler.model import (
    BellState,
    CommitId,
    Drift,
    DriftKind,
    HostName,
    HostStatus,
    Verdict,
)
from tests.support.deployed import (
    ALERTMANAGER,
    OF_PROMETHEUS,
    PROMETHEUS,
    ROOT,
    RUNBOOKS,
    asked,
    rules,
)
from tests.support.promql import Selector, quantile_thresholds, selectors
from tests.support.promtool import amtool, promtool

TESTS = PROMETHEUS / "tests"
SEVERITIES = {"critical", "warning", "info"}
OF_A_PLACE = {"instance", "job", "host", "le", "provider"}
"""Labels whose values differ from one place to another."""


# --- what Prometheus's own tools say ---------------------------------------------


def test_prometheus_takes_its_configuration_and_the_rules() -> None:
    checked = promtool(["check", "config", str(PROMETHEUS / "prometheus.yml")])

    assert checked.returncode == 0, checked.stdout.decode()
    assert b"rules found" in checked.stdout


def test_alertmanager_takes_its_configuration() -> None:
    checked = amtool(["check-config", str(ALERTMANAGER)])

    assert checked.returncode == 0, checked.stdout.decode()


@pytest.mark.parametrize("file", sorted(TESTS.glob("*.yml")), ids=lambda f: f.stem)
def test_the_rules_do_what_their_tests_say(file: Path) -> None:
    tested = promtool(["test", "rules", str(file)])

    assert tested.returncode == 0, tested.stdout.decode()


def test_promtool_sees_an_alert_that_does_not_fire(tmp_path: Path) -> None:
    """Otherwise the test above would be worth nothing."""
    broken = (PROMETHEUS / "rules/alerts.yml").read_text().replace("> 900", "> 9000")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/alerts.yml").write_text(broken)
    (tmp_path / "tests").mkdir()
    test = tmp_path / "tests/one.yml"
    test.write_text((TESTS / "ReconcilerHostDrift.yml").read_text())

    tested = promtool(["test", "rules", str(test)])

    assert tested.returncode != 0
    assert b"FAILED" in tested.stdout


# --- every alert is tested, and leads somewhere ----------------------------------


def test_an_alert_is_shown_to_be_silent_then_to_fire_then_to_clear(
    subtests: pytest.Subtests,
) -> None:
    for name in rules():
        with subtests.test(name):
            (group,) = yaml.safe_load((TESTS / f"{name}.yml").read_text())["tests"]
            looks = group["alert_rule_test"]

            assert {look["alertname"] for look in looks} == {name}
            fires = [bool(look["exp_alerts"]) for look in looks]
            assert not fires[0]
            assert any(fires)
            assert not fires[-1]
            times = [seconds(look["eval_time"]) for look in looks]
            assert times == sorted(times)


def test_an_alert_says_how_bad_it_is_and_what_to_do(subtests: pytest.Subtests) -> None:
    for name in rules():
        with subtests.test(name):
            rule = rules()[name]

            assert name.startswith("Reconciler")
            assert rule["labels"].keys() == {"severity"}
            assert rule["labels"]["severity"] in SEVERITIES
            annotations = rule["annotations"]
            assert annotations.keys() == {"summary", "description", "runbook_url"}
            assert len(annotations["summary"]) < 100
            assert annotations["summary"] not in annotations["description"]
            base, _, page = annotations["runbook_url"].rpartition("/")
            assert page == f"{name}.md"
            assert (RUNBOOKS / page).is_file()
            assert base == "https://reconciler.example.org/docs/runbooks", (
                "one place to change"
            )


def test_every_runbook_and_every_test_has_its_alert() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == rules().keys()
    assert {test.stem for test in TESTS.glob("*.yml")} == {*rules(), "recording"}


def test_every_recording_rule_is_tested() -> None:
    (group,) = yaml.safe_load((TESTS / "recording.yml").read_text())["tests"]

    tested = {look["expr"] for look in group["promql_expr_test"] if look["exp_samples"]}
    assert tested == rules("record").keys()


def test_the_list_of_alerts_in_the_documentation_is_complete() -> None:
    page = (ROOT / "docs/monitoring.md").read_text()

    listed = re.findall(
        r"^\| \[(\w+)\]\(runbooks/(\w+)\.md\) \| (\w+) \|", page, re.MULTILINE
    )
    assert listed == [
        (name, name, rule["labels"]["severity"]) for name, rule in rules().items()
    ]


# --- what is asked for exists ----------------------------------------------------


def test_what_is_asked_for_is_there(
    subtests: pytest.Subtests,
) -> None:
    """A name, label or value that is misspelt would never select anything."""
    for query in asked():
        with subtests.test(str(query)):
            found = list(selectors(query.expr))
            assert found
            there = series_there()

            for selector in found:
                if selector.metric in OF_PROMETHEUS | rules("record").keys():
                    continue
                wanted = in_any_place(selector)
                assert any(wanted.takes(name, labels) for name, labels in there), (
                    selector
                )


@cache
def series_there() -> list[tuple[str, dict[str, str]]]:
    """Return the name and labels of what a daemon shows, of a host in each state."""
    metrics = Metrics()
    metrics.host_known(HostName("lufta"))
    drifts = tuple(Drift(kind=kind) for kind in DriftKind)
    for verdict, state in zip_longest(Verdict, BellState):
        one = HostName(f"{verdict}-{state}")
        metrics.host_known(one)
        seen = HostStatus(host=one, commit=CommitId(""), updated_at=0.0)
        metrics.host_status(replace(seen, verdict=verdict, drifts=drifts))
        metrics.host_bell(one, state or BellState.POLLED)
    families = text_string_to_metric_families(metrics.render()[0].decode())
    return [(one.name, one.labels) for family in families for one in family.samples]


def in_any_place(selector: Selector) -> Selector:
    """Return *selector* without what differs from one place to another."""
    kept = tuple(
        matcher
        for matcher in selector.matchers
        if matcher[0] not in OF_A_PLACE and matcher != ("commit", "!=", "")
    )
    return Selector(metric=selector.metric, matchers=kept)


def test_what_is_missing_would_be_noticed() -> None:
    (typo,) = selectors('reconciler_attempts_total{outcome="rolledback"}')
    there = series_there()
    assert not any(typo.takes(name, labels) for name, labels in there)


def test_no_threshold_of_a_quantile_lies_above_the_last_bucket(
    subtests: pytest.Subtests,
) -> None:
    """`histogram_quantile` never exceeds it: such an alert could not fire."""
    for query in asked():
        with subtests.test(str(query)):
            for threshold in quantile_thresholds(query.expr):
                assert threshold.limit < last_bucket(threshold.histogram), threshold


def test_there_is_a_threshold_of_a_quantile() -> None:
    """Otherwise the test above would be worth nothing."""
    (slow,) = quantile_thresholds(rules()["ReconcilerDeploymentsSlow"]["expr"])

    assert slow.limit < last_bucket(slow.histogram)
    assert not last_bucket(slow.histogram) > 4000


def last_bucket(histogram: str) -> float:
    """Return where the last bucket of a histogram ends that is not infinite."""
    there = series_there()
    ends = (float(of["le"]) for name, of in there if name == f"{histogram}_bucket")
    return max(end for end in ends if end != float("inf"))


def seconds(text: str) -> int:
    """Return what Prometheus means by a duration."""
    units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
    return sum(
        int(number) * units[unit] for number, unit in re.findall(r"(\d+)(\w)", text)
    )
