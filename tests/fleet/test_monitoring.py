"""Prometheus, Alertmanager and the dashboards' queries, on a fleet that is real."""

import json
import math
import re
from collections.abc import Iterator

import pytest

from tests.support.deployed import Asked, asked_by_dashboards, rules
from tests.support.fleet import FleetFactory
from tests.support.monitoring import Monitoring
from tests.support.rig import DEADLINE, Rig
from tests.support.wait import wait_until

HOST = "keanu"
AWAY = ("chrysalis", "lufta")  # declared, and not there
FACTS = "printerfacts.service"
RANGE = 60.0  # seconds, more than this module has deployed for

QUIET = {
    "Failed deployments": "no deployment has failed",
    "From a reboot to all units active": "no host was rebooted",
}
"""Panels and events that have nothing to show before the alerts below, and why."""


@pytest.fixture(scope="module")
def rig(
    module_fleet: FleetFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rig]:
    """Run a daemon that deploys, and reports drift; two of three hosts are away."""
    policy = {"heal": False}
    folder = tmp_path_factory.mktemp("rig")
    with Rig(folder, module_fleet(HOST), policy=policy) as rig:
        rig.run_daemon()
        yield rig


@pytest.fixture(scope="module")
def monitoring(
    rig: Rig, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Monitoring]:
    """Prometheus saw two deployments, so that there is something to ask for."""
    folder = tmp_path_factory.mktemp("monitoring")
    with Monitoring(folder, scraped=f"127.0.0.1:{rig.port}") as monitoring:
        for port in (8081, 8082):
            name = f"hosts/{HOST}/configuration.nix"
            file = rig.repository.work / name
            text = file.read_text()
            file.write_text(re.sub(r"port = \d+;", f"port = {port};", text))
            rig.push(f"Serve facts on port {port}")
            rig.wait_in_sync(HOST)
        for name in rules("record"):
            wait_until(lambda name=name: monitoring.query(name), DEADLINE, name)
        yield monitoring


# --- what is asked for is there --------------------------------------------------


def test_a_query_of_a_dashboard_returns_what_its_panel_shows(
    monitoring: Monitoring, rig: Rig, subtests: pytest.Subtests
) -> None:
    for query in asked_by_dashboards():
        with subtests.test(str(query)):
            expr = filled(query, rig)

            if query.now:
                found = monitoring.query(expr)
                values = [float(one["value"][1]) for one in found]
            else:
                found = monitoring.series(expr, seconds=RANGE)
                values = [float(value) for one in found for _, value in one["values"]]

            assert any(map(math.isfinite, values)) is not is_quiet(query), expr
            for one in found:
                assert set(query.shown) <= one["metric"].keys()
                assert not query.columns or one["metric"].keys() <= query.columns


def test_every_rule_can_be_evaluated(monitoring: Monitoring) -> None:
    found = monitoring.rules()

    assert {rule["name"] for rule in found} == {*rules(), *rules("record")}
    for rule in found:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule


def filled(query: Asked, rig: Rig) -> str:
    """Return the expression as Grafana would fill in its variables."""
    hosts = HOST if query.where.startswith("reconciler-host:") else f"{HOST}|lufta"
    known = {
        "$instance": f"127.0.0.1:{rig.port}",
        "$host": hosts,
        "$__rate_interval": "4s",
        "$__interval": "1s",
        "$__range": f"{RANGE:.0f}s",
    }
    expr = query.expr
    for name, value in known.items():
        expr = expr.replace(name, value)
    assert not re.search(r"\$[a-z_]", expr)
    return expr


def is_quiet(query: Asked) -> bool:
    """Return whether the query has nothing to show here."""
    return any(f": {name}" in query.where for name in QUIET)


# --- alerts reach people ---------------------------------------------------------


def test_hosts_that_are_away_are_told(monitoring: Monitoring) -> None:
    for name in AWAY:
        wait_until(
            lambda name=name: monitoring.told(
                "ReconcilerHostUnreachable", "firing", host=name
            ),
            DEADLINE,
            f"word of {name}",
        )


def test_a_stopped_service_alerts_and_clears_when_it_is_put_right(
    monitoring: Monitoring, rig: Rig
) -> None:
    alert = {"alert": "ReconcilerHostDrift", "host": HOST}
    assert not monitoring.told(status="firing", **alert)
    host = rig.host(HOST)

    host.exec("systemctl", "stop", FACTS)

    (told, *_) = wait_until(
        lambda: monitoring.told(status="firing", **alert), DEADLINE, "an alert"
    )
    assert told["labels"]["severity"] == "warning"
    assert f"reconciler plan {HOST}" in told["annotations"]["description"]
    assert told["annotations"]["runbook_url"].endswith("ReconcilerHostDrift.md")
    assert not host.is_active(FACTS), "it is reported, and not healed"
    assert not monitoring.told(status="resolved", **alert)

    assert "in sync" in rig.run("apply", HOST).stdout

    assert host.is_active(FACTS)
    wait_until(
        lambda: monitoring.told(status="resolved", **alert), DEADLINE, "word that it is"
    )


def test_a_reconciler_that_is_gone_is_told(monitoring: Monitoring, rig: Rig) -> None:
    assert not monitoring.told("ReconcilerDown", "firing")
    # Without its `for` it fires before the first scrape of all.
    before = monitoring.told("ReconcilerAbsent", "firing")

    rig.stop_daemon()

    wait_until(
        lambda: monitoring.told("ReconcilerDown", "firing"), DEADLINE, "an alert"
    )
    assert monitoring.told("ReconcilerAbsent", "firing") == before, "one is enough"
    rig.run_daemon()
    wait_until(
        lambda: monitoring.told("ReconcilerDown", "resolved"), DEADLINE, "its end"
    )


def test_what_was_sent_is_not_a_secret(monitoring: Monitoring) -> None:
    assert "the token of the first day" not in json.dumps(monitoring.received)
