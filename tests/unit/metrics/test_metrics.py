"""What Prometheus sees, read from the text that it would scrape."""

import dataclasses
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from reconciler.loop.queue import Queue
from reconciler.metrics import KeyResult, Metrics, PassResult
from reconciler.metrics.families import (
    LEAD_BUCKETS,
    PHASE_BUCKETS,
    QUEUE_BUCKETS,
    REBOOT_BUCKETS,
)
from reconciler.metrics.hosts import FAMILIES
from reconciler.model import (
    Attempt,
    BellState,
    Commit,
    CommitId,
    Drift,
    DriftKind,
    Evaluated,
    Hold,
    HostName,
    HostStatus,
    Outcome,
    Phase,
    Quarantine,
    Reason,
    StorePath,
    Verdict,
)
from tests.support.budget import examples

KEANU, LUFTA = HostName("keanu"), HostName("lufta")
Series = tuple[str, frozenset[tuple[str, str]]]


def scrape(metrics: Metrics) -> dict[Series, float]:
    """Return every series but those of the process itself."""
    text = metrics.render()[0].decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("reconciler_")
    }


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return scrape(metrics)[f"reconciler_{name}", frozenset(labels.items())]


def of_host(metrics: Metrics, host: HostName) -> dict[Series, float]:
    return {
        series: number
        for series, number in scrape(metrics).items()
        if ("host", host) in series[1]
    }


def infos(metrics: Metrics, name: str) -> list[dict[str, str]]:
    return [dict(labels) for found, labels in scrape(metrics) if found == name]


def infos_of(metrics: Metrics, name: str) -> list[dict[str, str]]:
    return infos(metrics, f"reconciler_{name}")


def status(host: HostName = KEANU, **changes: object) -> HostStatus:
    values: dict[str, object] = {
        "host": host,
        "commit": CommitId("c0ffee"),
        "updated_at": 1000.0,
        "verdict": Verdict.CONVERGED,
        "reachable": True,
        "target": StorePath("/nix/store/new-system"),
        "running": StorePath("/nix/store/new-system"),
        "units_desired": 3,
        "units_active": 3,
        "address": "127.0.80.1",
    }
    return HostStatus(**{**values, **changes})  # type: ignore[arg-type]


def attempt(host: HostName, outcome: Outcome | None) -> Attempt:
    return Attempt(
        id="20261124T120000-3f2a",
        host=host,
        commit=CommitId("c0ffee"),
        verdict=Verdict.DEPLOY,
        source=None,
        target=StorePath("/nix/store/new-system"),
        began_at=0,
        outcome=outcome,
    )


def commit(name: str) -> Commit:
    return Commit(
        id=CommitId(name),
        tree="t",
        branch="main",
        subject="s",
        author="a",
        committed_at=500.0,
    )


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics()
    made.host_known(KEANU)
    made.host_known(LUFTA)
    return made


def test_what_is_counted_is_there_from_the_start(metrics: Metrics) -> None:
    of_each = [
        ("attempts_total", "outcome", Outcome),
        ("passes_total", "result", PassResult),
        ("evaluations_total", "result", Evaluated),
    ]
    of_all = [
        ("key_uploads_total", "result", KeyResult),
    ]

    for name, label, members in of_each:
        for member in members:
            assert value(metrics, name, host=KEANU, **{label: member.value}) == 0
    for name, label, members in of_all:
        for member in members:
            assert value(metrics, name, **{label: member.value}) == 0
    seen = {name for name, _ in of_host(metrics, KEANU)}
    only_while_so = {
        "host_verdict",
        "host_bell",
        "host_report_timestamp_seconds",
        "drift_items",
    }
    assert seen == {one.series for one in FAMILIES if one.name not in only_while_so}


def test_what_a_host_is_one_of_has_one_series(metrics: Metrics) -> None:
    """Else a fleet would have ten series for each host that say what it is not."""
    for state in BellState:
        metrics.host_bell(KEANU, state)
        metrics.host_status(status(drifts=(Drift(kind=DriftKind.UNREACHABLE),)))
    metrics.host_status(status())

    found = {series for series, _ in of_host(metrics, KEANU).items()}
    told = {(name, value) for name, labels in found for _, value in labels}
    assert {value for name, value in told if name == "reconciler_host_bell"} == {
        KEANU,
        BellState.POLLED.value,
    }
    assert {value for name, value in told if name == "reconciler_host_verdict"} == {
        KEANU,
        Verdict.CONVERGED.value,
    }
    assert not [name for name, _ in told if name == "reconciler_drift_items"]


def test_labels_are_written_as_they_are_read() -> None:
    strange = HostName('a"b\\c\nd')
    metrics = fresh(strange)
    metrics.host_status(status(strange, tags=('x"y', "z\\"), updated_at=0.5))

    (told,) = infos(metrics, "reconciler_host_info")
    assert told["host"] == strange
    assert told["tags"] == ',x"y,z\\,'
    assert value(metrics, "last_success_timestamp_seconds", host=strange) == 0.5


def test_a_host_begins_at_zero(metrics: Metrics) -> None:
    numbers = of_host(metrics, KEANU)
    info = {s: n for s, n in numbers.items() if s[0] == "reconciler_host_info"}

    assert list(info.values()) == [1]
    assert {n for series, n in numbers.items() if series not in info} == {0}


def test_keys_are_counted_by_what_is_wrong_with_them(metrics: Metrics) -> None:
    kinds = (
        *(DriftKind.KEY_MISSING, DriftKind.KEY_MISSING),
        *(DriftKind.KEY_CHANGED, DriftKind.KEY_PERMISSIONS),
        DriftKind.KEY_EXTRA,
    )
    drifts = tuple(Drift(kind=kind, subject=str(n)) for n, kind in enumerate(kinds))

    metrics.host_status(status(drifts=drifts, keys_desired=6, keys_present=4))

    assert value(metrics, "keys_desired", host=KEANU) == 6
    assert value(metrics, "keys_present", host=KEANU) == 4
    assert value(metrics, "keys_missing", host=KEANU) == 2
    assert value(metrics, "keys_wrong", host=KEANU) == 2


def test_deliveries_are_counted_by_result(metrics: Metrics) -> None:
    metrics.keys_delivered(KEANU, KeyResult.WRITTEN, 3)
    metrics.keys_delivered(KEANU, "failed", 1)
    metrics.keys_delivered(HostName("gone"), KeyResult.WRITTEN, 1)
    metrics.rebooted(KEANU, 1.25)

    told = {
        result: value(metrics, "key_uploads_total", result=result.value)
        for result in KeyResult
    }
    assert told == {KeyResult.WRITTEN: 3, KeyResult.PERMITTED: 0, KeyResult.FAILED: 1}
    assert value(metrics, "reboot_to_active_seconds_bucket", le="1.0") == 0
    assert value(metrics, "reboot_to_active_seconds_bucket", le="1.5") == 1
    with pytest.raises(ValueError, match="stolen"):
        metrics.keys_delivered(KEANU, "stolen", 1)


def test_every_phase_is_there_from_the_start() -> None:
    metrics = Metrics()
    for phase in Phase:
        assert value(metrics, "phase_duration_seconds_count", phase=phase.value) == 0


def test_what_a_pass_found_is_shown(metrics: Metrics) -> None:
    stopped = Drift(kind=DriftKind.UNIT_STOPPED, subject="withinbot.service")
    failed = Drift(kind=DriftKind.UNIT_STOPPED, subject="printerfacts.service")
    skipped = Drift(kind=DriftKind.UNIT_CHANGED, subject="sshd.service", lasting=True)
    metrics.host_status(
        status(
            verdict=Verdict.HEAL,
            drifts=(stopped, failed, skipped),
            drift_since=900.0,
            units_active=1,
        )
    )

    assert value(metrics, "host_up", host=KEANU) == 1
    assert value(metrics, "host_in_sync", host=KEANU) == 0
    assert value(metrics, "drift_items", host=KEANU, kind="unit-stopped") == 2
    kinds = [dict(found)["kind"] for found in infos_of(metrics, "drift_items")]
    assert kinds == ["unit-stopped"]
    assert value(metrics, "drift_since_timestamp_seconds", host=KEANU) == 900
    assert value(metrics, "units_desired", host=KEANU) == 3
    assert value(metrics, "units_active", host=KEANU) == 1
    assert value(metrics, "host_verdict", host=KEANU, verdict="heal") == 1
    assert value(metrics, "last_success_timestamp_seconds", host=KEANU) == 0
    assert of_host(metrics, LUFTA) == of_host(fresh(LUFTA), LUFTA)


def fresh(*hosts: HostName) -> Metrics:
    metrics = Metrics()
    for host in hosts:
        metrics.host_known(host)
    return metrics


def test_what_was_found_is_gone_when_the_next_pass_finds_it_gone(
    metrics: Metrics,
) -> None:
    metrics.host_status(
        status(
            verdict=None,
            reachable=False,
            drifts=(Drift(kind=DriftKind.UNREACHABLE),),
            drift_since=900.0,
        )
    )
    metrics.host_status(status())

    assert value(metrics, "host_up", host=KEANU) == 1
    assert value(metrics, "host_in_sync", host=KEANU) == 1
    assert infos_of(metrics, "drift_items") == []
    assert value(metrics, "drift_since_timestamp_seconds", host=KEANU) == 0
    assert value(metrics, "last_success_timestamp_seconds", host=KEANU) == 1000
    assert value(metrics, "host_verdict", host=KEANU, verdict="converged") == 1


@settings(max_examples=examples(30))
@given(st.lists(st.sampled_from([None, *Verdict]), min_size=1, max_size=5))
def test_a_host_has_one_verdict_at_most(verdicts: list[Verdict | None]) -> None:
    metrics = fresh(KEANU)
    for verdict in verdicts:
        metrics.host_status(status(verdict=verdict))

    shown = of_host(metrics, KEANU).items()
    assert sum(n for (name, _), n in shown if name == "reconciler_host_verdict") == (
        verdicts[-1] is not None
    )


def test_orders_are_shown_while_they_hold(metrics: Metrics) -> None:
    hold = Hold(host=KEANU, reason="wait", actor="cadey", since=900.0)
    failed = Quarantine(
        host=KEANU,
        toplevel=StorePath("/nix/store/new-system"),
        reason="no",
        since=0,
        attempt="a",
    )
    names = ("held", "held_since_timestamp_seconds", "quarantined")

    def shown() -> list[float]:
        found = scrape(metrics)
        return [
            found[f"reconciler_{name}", frozenset({("host", KEANU)})] for name in names
        ]

    assert shown() == [0, 0, 0]
    metrics.host_status(status(hold=hold, quarantine=failed))
    assert shown() == [1, 900, 1]
    metrics.host_status(status())
    assert shown() == [0, 0, 0]


def test_the_texts_of_a_host_stand_on_one_series(metrics: Metrics) -> None:
    for number in range(20):
        metrics.host_status(status(tags=("b", "a")), CommitId(f"c{number}"))

    (told,) = [
        info for info in infos(metrics, "reconciler_host_info") if info["host"] == KEANU
    ]
    assert told == {
        "host": KEANU,
        "commit": "c19",
        "desired": "new-system",
        "running": "new-system",
        "address": "127.0.80.1",
        "tags": ",a,b,",
    }


def test_the_commit_stands_on_one_series(metrics: Metrics) -> None:
    for name in ("a", "b", "a", "a"):
        metrics.commit(commit(name))

    assert infos(metrics, "reconciler_commit_info") == [
        {"commit": "a", "branch": "main"}
    ]
    assert value(metrics, "commit_timestamp_seconds") == 500


def test_a_system_that_refuses_a_switch_is_no_rollback(metrics: Metrics) -> None:
    """Nothing was touched, so nobody is to be woken up."""
    before = len(scrape(metrics))
    failed = attempt(KEANU, Outcome.FAILED)

    metrics.attempt_ended(dataclasses.replace(failed, reason=Reason.REBOOT_FIRST))
    metrics.attempt_ended(dataclasses.replace(failed, reason=Reason.STUCK))

    assert len(scrape(metrics)) == before
    assert value(metrics, "attempts_total", host=KEANU, outcome="failed") == 2
    assert value(metrics, "rollback_reasons_total", reason="rollback-failed") == 1
    assert value(metrics, "rollbacks_total", host=KEANU) == 1


def test_a_rollback_that_somebody_asked_for_alerts_nobody(metrics: Metrics) -> None:
    back = attempt(KEANU, Outcome.ROLLED_BACK)

    metrics.attempt_ended(dataclasses.replace(back, reason=Reason.ASKED))

    assert value(metrics, "rollback_reasons_total", reason="asked") == 1
    assert value(metrics, "rollbacks_total", host=KEANU) == 0


def test_a_host_that_leaves_takes_exactly_its_series_along(metrics: Metrics) -> None:
    metrics.host_status(status(LUFTA))
    metrics.attempt_ended(attempt(LUFTA, Outcome.FAILED))
    before = scrape(metrics)
    theirs = of_host(metrics, KEANU)
    metrics.host_status(status(KEANU, tags=("x",)))
    metrics.attempt_ended(attempt(KEANU, Outcome.SUCCEEDED))
    metrics.pass_ended(KEANU, "success")
    metrics.evaluated(KEANU, Evaluated.FAILED)

    metrics.host_gone(KEANU)

    expected = {s: n for s, n in before.items() if s not in theirs}
    assert scrape(metrics) == {**expected, ("reconciler_hosts", frozenset()): 1}


def test_a_pass_that_outlives_its_host_does_not_bring_it_back(
    metrics: Metrics,
) -> None:
    metrics.host_gone(KEANU)
    before = scrape(metrics)
    metrics.host_status(status(KEANU))
    metrics.attempt_ended(attempt(KEANU, Outcome.SUCCEEDED))
    metrics.pass_ended(KEANU, PassResult.ERROR)
    metrics.evaluated(KEANU, Evaluated.FAILED)
    metrics.converged(KEANU, 3.0)
    metrics.host_gone(KEANU)

    assert scrape(metrics) == before


def test_a_host_that_comes_back_starts_at_zero(metrics: Metrics) -> None:
    metrics.host_status(status(KEANU))
    metrics.attempt_ended(attempt(KEANU, Outcome.SUCCEEDED))
    metrics.host_gone(KEANU)
    metrics.host_known(KEANU)

    assert of_host(metrics, KEANU) == of_host(fresh(KEANU), KEANU)


def test_knowing_a_host_again_does_not_reset_it(metrics: Metrics) -> None:
    metrics.attempt_ended(attempt(KEANU, Outcome.SUCCEEDED))
    metrics.host_known(KEANU)

    assert value(metrics, "attempts_total", host=KEANU, outcome="succeeded") == 1
    assert value(metrics, "hosts") == 2


def test_the_number_of_series_does_not_grow_with_time(metrics: Metrics) -> None:
    metrics.host_status(status())
    before = len(scrape(metrics))
    for number in range(50):
        name = CommitId(f"c{number}")
        metrics.commit(commit(name))
        metrics.host_status(
            status(commit=name, running=StorePath(f"/nix/store/{number}-system"))
        )
        metrics.attempt_ended(attempt(KEANU, Outcome.SUCCEEDED))
        metrics.phase(Phase.BUILD, number)
        metrics.host_known(HostName(f"guest-{number}"))
        metrics.host_gone(HostName(f"guest-{number}"))

    assert len(scrape(metrics)) == before


def test_an_attempt_that_runs_is_not_counted(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="not ended"):
        metrics.attempt_ended(attempt(KEANU, None))


def test_a_result_that_is_none_is_refused(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="splendid"):
        metrics.pass_ended(KEANU, "splendid")


def test_a_repository_that_is_back_is_shown(metrics: Metrics) -> None:
    metrics.fetch_failed()
    metrics.fetched(700.0)

    assert value(metrics, "fetch_failing") == 0
    assert value(metrics, "fetch_failures_total") == 1


def test_an_evaluation_that_works_again_is_shown(metrics: Metrics) -> None:
    metrics.evaluated(None, Evaluated.FAILED)
    metrics.evaluated(KEANU, Evaluated.FAILED)
    metrics.evaluated(LUFTA, Evaluated.FAILED)

    metrics.evaluation_works(None)
    metrics.evaluation_works(KEANU)
    metrics.evaluation_works(HostName("gone"))

    shown = {
        dict(labels)["host"]: number
        for (name, labels), number in scrape(metrics).items()
        if name == "reconciler_evaluation_failing"
    }
    assert shown == {"": 0, KEANU: 0, LUFTA: 1}


def test_looks_at_the_repository_are_counted(metrics: Metrics) -> None:
    metrics.fetched(700.0)
    metrics.fetch_failed()
    metrics.evaluated(None, Evaluated.FAILED)
    metrics.evaluated(KEANU, Evaluated.FAILED)
    metrics.heartbeat(710.0)

    assert value(metrics, "fetches_total") == 2
    assert value(metrics, "fetch_failures_total") == 1
    assert value(metrics, "fetch_failing") == 1
    assert value(metrics, "last_fetch_timestamp_seconds") == 700
    assert value(metrics, "evaluations_total", host="", result="failed") == 1
    assert value(metrics, "evaluations_total", host=KEANU, result="failed") == 1
    assert value(metrics, "evaluation_failing", host=KEANU) == 1
    assert value(metrics, "heartbeat_timestamp_seconds") == 710


@pytest.mark.parametrize(
    ("buckets", "longest"),
    [
        (PHASE_BUCKETS, 1800),
        (LEAD_BUCKETS, 3600),
        (QUEUE_BUCKETS, 1800),
        (REBOOT_BUCKETS, 300),
    ],
)
def test_buckets_rise_and_reach_what_alerts_ask_for(
    buckets: tuple[float, ...], longest: float
) -> None:
    """`histogram_quantile` never exceeds the last bucket: no alert could fire above."""
    assert list(buckets) == sorted(set(buckets))
    assert buckets[-1] == longest


def test_durations_fall_into_their_buckets(metrics: Metrics) -> None:
    metrics.phase(Phase.BUILD, 1500.0)
    metrics.converged(KEANU, 2.5)

    name = "phase_duration_seconds_bucket"
    assert value(metrics, name, phase="build", le="1200.0") == 0
    assert value(metrics, name, phase="build", le="1800.0") == 1
    assert value(metrics, "commit_to_converged_seconds_sum") == 2.5


@pytest.fixture
def queue(metrics: Metrics) -> Iterator[Queue[HostName]]:
    made: Queue[HostName] = Queue(
        clock=Clock().read, waited=metrics.queue_waited, worked=metrics.queue_worked
    )
    metrics.watch_queue(made.stats)
    yield made
    made.shut_down()


class Clock:
    """Goes on by one second at each look."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        """Return the time."""
        self.now += 1.0
        return self.now


def test_the_queue_is_read_at_each_scrape(
    metrics: Metrics, queue: Queue[HostName]
) -> None:
    queue.add(KEANU)
    queue.add(LUFTA)
    queue.add(LUFTA)
    queue.add_after(HostName("chrysalis"), 100)
    queue.get(timeout=0)

    assert value(metrics, "workqueue_depth") == 1
    assert value(metrics, "workqueue_delayed") == 1
    assert value(metrics, "workqueue_adds_total") == 2
    assert value(metrics, "workqueue_retries_total") == 1
    assert value(metrics, "workqueue_longest_running_processor_seconds") > 0
    assert value(metrics, "workqueue_unfinished_work_seconds") > 0
    assert value(metrics, "workqueue_oldest_waiting_seconds") > 0
    assert value(metrics, "workqueue_queue_duration_seconds_count") == 1
    queue.done(KEANU)
    assert value(metrics, "workqueue_work_duration_seconds_count") == 1
    assert value(metrics, "workqueue_longest_running_processor_seconds") == 0


def test_the_queue_has_its_series_before_there_is_one() -> None:
    assert value(Metrics(), "workqueue_depth") == 0
    assert value(Metrics(), "workqueue_adds_total") == 0


def test_a_scrape_never_sees_half_a_change(metrics: Metrics) -> None:
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            metrics.host_status(status(), CommitId(f"c{number}"))

    thread = threading.Thread(target=change, daemon=True)
    thread.start()
    try:
        for _ in range(30):
            found = infos(metrics, "reconciler_host_info")
            assert [info["host"] for info in found].count(KEANU) == 1
    finally:
        stop.set()
        thread.join(100)
