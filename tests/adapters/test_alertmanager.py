"""Alertmanager, with the file of `deploy/`: one cause, one message."""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.support.deployed import ALERTMANAGER, rules
from tests.support.monitoring import running
from tests.support.rig import free_port
from tests.support.wait import wait_until

DEADLINE = 60.0  # seconds

Json = Any  # what json.loads returns


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Alertmanager; give the address of its API."""
    if os.geteuid() != 0:
        pytest.skip("its templates are mounted, which takes root")
    folder, port = tmp_path_factory.mktemp("alertmanager"), free_port()
    argv = [
        "alertmanager",
        f"--config.file={ALERTMANAGER}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]

    def ready() -> bool:
        with contextlib.suppress(OSError):
            urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5).close()
            return True
        return False

    with running(folder, argv):
        wait_until(ready, DEADLINE, "Alertmanager to start")
        yield f"http://127.0.0.1:{port}/api/v2/alerts"


def tell(api: str, *alerts: tuple[str, str, str]) -> None:
    """Fire alerts, each given as its name, instance and host (empty: none)."""
    body = [
        {"labels": {"alertname": name, "instance": instance, "host": host}}
        for name, instance, host in alerts
    ]
    headers = {"Content-Type": "application/json"}
    asked = Request(api, data=json.dumps(body).encode(), headers=headers)  # noqa: S310
    with urlopen(asked, timeout=100):  # noqa: S310 -- an address of our own
        pass


def sent(api: str, instance: str) -> set[tuple[str, str]]:
    """Return the alerts of *instance* that are sent, by name and host."""
    with urlopen(api, timeout=100) as answer:  # noqa: S310 -- an address of our own
        found = json.load(answer)
    return {
        (alert["labels"]["alertname"], alert["labels"].get("host", ""))
        for alert in found
        if alert["labels"]["instance"] == instance
        and alert["status"]["state"] == "active"
    }


def test_of_a_host_that_is_away_nothing_else_is_told(api: str) -> None:
    tell(
        api,
        ("ReconcilerHostUnreachable", "a", "lufta"),
        ("ReconcilerDeploymentFailed", "a", "lufta"),
        ("ReconcilerHostHeld", "a", "lufta"),
        ("ReconcilerHostDrift", "a", "keanu"),
        ("ReconcilerFetchFailing", "a", ""),
    )

    expected = {
        ("ReconcilerHostUnreachable", "lufta"),
        ("ReconcilerHostDrift", "keanu"),
        ("ReconcilerFetchFailing", ""),
    }
    wait_until(lambda: sent(api, "a") == expected, DEADLINE, "one alert of lufta")


def test_the_reason_of_drift_says_more_than_drift(api: str) -> None:
    reasons = (
        *("ReconcilerUnitFailed", "ReconcilerKeyMissing", "ReconcilerHostQuarantined"),
        *("ReconcilerDeploymentFailed", "ReconcilerDeploymentRolledBack"),
        "ReconcilerHostBlocked",
    )
    assert rules().keys() >= set(reasons)
    alerts = [(reason, "b", reason.lower()) for reason in reasons]

    tell(api, *alerts, *(("ReconcilerHostDrift", "b", host) for _, _, host in alerts))

    expected = {(name, host) for name, _, host in alerts}
    wait_until(lambda: sent(api, "b") == expected, DEADLINE, "reasons alone")


@pytest.mark.parametrize("gone", ["ReconcilerDown", "ReconcilerSilent"])
def test_what_a_reconciler_said_that_is_gone_is_old(api: str, gone: str) -> None:
    tell(
        api,
        (gone, gone, ""),
        ("ReconcilerHostUnreachable", gone, "lufta"),
        ("ReconcilerFetchFailing", gone, ""),
        ("ReconcilerHostDrift", f"not {gone}", "lufta"),
    )

    wait_until(lambda: sent(api, gone) == {(gone, "")}, DEADLINE, "one alert")
    assert sent(api, f"not {gone}") == {("ReconcilerHostDrift", "lufta")}
