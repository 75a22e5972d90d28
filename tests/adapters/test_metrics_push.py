"""
Metrics that are pushed: real requests of prometheus-client's own to a server of ours.

The server stands for a Pushgateway. What it is sent is read with the parser of
prometheus-client, which is stricter than a Pushgateway is.
"""

import socket
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from reconciler.metrics import Metrics, Pusher
from reconciler.metrics import push as push_module
from reconciler.model import HostName
from reconciler.settings import PushSettings
from tests.support.receiver import Delivery, Receiver, Reply
from tests.support.wait import wait_until

SOON = 60.0  # seconds
SECRET = "correct-horse-battery"  # noqa: S105 -- of this test
KEANU = HostName("keanu")


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics()
    made.host_known(KEANU)
    return made


@contextmanager
def pushing(metrics: Metrics, settings: PushSettings) -> Iterator[None]:
    pusher = Pusher(settings, metrics)
    pusher.start()
    try:
        yield
    finally:
        pusher.stop()


def at(port: int, **more: object) -> PushSettings:
    return PushSettings.model_validate(
        {"url": f"http://127.0.0.1:{port}/", "interval": 0.01, "instance": "lap top"}
        | more
    )


def samples(text: str) -> dict[tuple[str, str], float]:
    """Return what was told, by name and by the label that tells apart."""
    return {
        (one.name, one.labels.get("host") or one.labels.get("result", "")): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def shown(logs: Sequence[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    """Return what is logged unless somebody looks for a fault."""
    return [one for one in logs if one["log_level"] != "debug"]


def count(metrics: Metrics, result: str) -> float:
    text = metrics.render()[0].decode()
    return samples(text)["reconciler_metrics_pushes_total", result]


def test_all_that_a_scrape_has_replaces_what_the_instance_pushed_before(
    metrics: Metrics, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    with (
        capture_logs() as logs,
        Receiver() as gateway,
        pushing(metrics, at(gateway.port, secret_file=secret)),
    ):
        gateway.wait_for(2)
        wait_until(lambda: count(metrics, "delivered") >= 1, SOON, "a push counts")
        pushed: Delivery = gateway.deliveries[0]

    assert pushed.method == "PUT"
    assert pushed.path == "/metrics/job/reconciler/instance@base64/bGFwIHRvcA=="
    assert pushed.headers["authorization"] == f"Bearer {SECRET}"
    assert pushed.headers["content-type"].startswith("text/plain; version=0.0.4")
    told = samples(pushed.body.decode())
    assert told["reconciler_host_in_sync", KEANU] == 0
    assert told.keys() == samples(metrics.render()[0].decode()).keys()
    assert SECRET not in pushed.body.decode()
    assert not shown(logs)


def test_a_push_that_fails_is_told_once_and_counted_and_the_next_one_works(
    metrics: Metrics, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    refusal = Reply(status=400, body="pushed metrics are\x1b[2J inconsistent")
    elsewhere = Reply(status=307, headers={"Location": "http://127.0.0.1:1/"})
    with (
        capture_logs() as logs,
        Receiver(refusal, elsewhere) as gateway,
        pushing(metrics, at(gateway.port, user="me", secret_file=secret)),
    ):
        wait_until(lambda: count(metrics, "delivered") >= 1, SOON, "a push works")
        assert gateway.deliveries[0].headers["authorization"].startswith("Basic ")

    assert count(metrics, "failed") == 2
    assert [one["event"] for one in shown(logs)] == [
        "cannot push metrics",
        "metrics are pushed again",
    ]
    assert "400" in shown(logs)[0]["reason"]
    assert "inconsistent" in shown(logs)[0]["reason"]
    assert "\x1b" not in shown(logs)[0]["reason"]
    assert SECRET not in repr(logs)


def test_an_answer_that_does_not_come_is_given_up(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_module, "DEADLINE", 2.0)
    with capture_logs() as logs, Receiver() as gateway:
        gateway.answering.clear()
        with pushing(metrics, at(gateway.port)):
            wait_until(lambda: count(metrics, "failed") >= 1, SOON, "it is given up")

    assert shown(logs)[0]["reason"] == "no answer within 2 s"


@pytest.mark.parametrize("content", [None, "", "one\ntwo", "x" * 70_000])
def test_nothing_is_pushed_without_the_secret(
    content: str | None, metrics: Metrics, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content)
    with (
        capture_logs() as logs,
        Receiver() as gateway,
        pushing(metrics, at(gateway.port, secret_file=secret)),
    ):
        wait_until(lambda: count(metrics, "failed") >= 2, SOON, "it fails twice")

    assert not gateway.deliveries
    (told,) = shown(logs)
    assert str(secret) in told["reason"]


def test_nobody_there_is_told_with_the_reason(metrics: Metrics) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        with capture_logs() as logs, pushing(metrics, at(taken.getsockname()[1])):
            wait_until(lambda: count(metrics, "failed") >= 1, SOON, "it fails")

    assert "refused" in shown(logs)[0]["reason"]
