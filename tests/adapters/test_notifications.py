"""Messages on their way through Apprise to a server that really listens."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from reconciler.history import History
from reconciler.metrics import Metrics
from reconciler.model import Commit, CommitId, HostName, HostStatus, Verdict
from reconciler.notify import Notify
from reconciler.notify import senders as senders_module
from reconciler.settings import Settings
from tests.support.leaks import find_leaks, marked, watching_processes
from tests.support.receiver import Receiver, Reply
from tests.support.rig import free_port
from tests.support.wait import patience, wait_until
from tests.unit.notify.samples import BOT, COMMIT, HOST, away, status, stopped

SOON = 60.0  # seconds
DRIFTING = status(Verdict.REPORTED, drifts=stopped(BOT))
ROOT = Path(__file__).parents[2]

Json = Mapping[str, object]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon: how the waits grow is tested elsewhere."""
    monkeypatch.setattr(senders_module, "BACKOFF_BASE", 0.05)
    monkeypatch.setattr(senders_module, "BACKOFF_CAP", 0.2)


def settings_for(state: Path, *targets: Json, group: str = "0s") -> Settings:
    return Settings.model_validate(
        {
            "repository": {"url": "/srv/git"},
            "notify": {"targets": targets, "group": group},
            "state": state,
        }
    )


def json_target(port: int, name: str = "phone", **more: object) -> dict[str, object]:
    return {"name": name, "url": f"json://127.0.0.1:{port}/", **more}


@contextlib.contextmanager
def telling(
    tmp_path: Path, *targets: Json, group: str = "0s", start: bool = True
) -> Iterator[tuple[Notify, Metrics]]:
    """Give a `Notify` over the database in *tmp_path*, as the program has one."""
    metrics = Metrics()
    with contextlib.closing(History.open(tmp_path / "history.sqlite")) as history:
        settings = settings_for(tmp_path, *targets, group=group)
        notify = Notify(settings, history, metrics, time.time)  # noqa: TID251
        if start:
            notify.start()
        try:
            yield notify, metrics
        finally:
            notify.shut()
            if start:
                notify.join(SOON)


def value(metrics: Metrics, series: str) -> float | None:
    for line in metrics.render()[0].decode().splitlines():
        name, _, number = line.rpartition(" ")
        if name == series:
            return float(number)
    return None


def wait_for_none_pending(metrics: Metrics) -> None:
    wait_until(
        lambda: value(metrics, "reconciler_notifications_pending") == 0,
        SOON,
        "everything to be delivered",
    )


def test_a_message_arrives_with_title_body_and_level(tmp_path: Path) -> None:
    with Receiver() as receiver:
        target = json_target(receiver.port, title="[home] $summary")
        with telling(tmp_path, target) as (notify, metrics):
            notify.host(DRIFTING)
            (delivery,) = receiver.wait_for(1)
            series = 'reconciler_notifications_total{kind="drift",result="delivered"}'
            wait_until(lambda: value(metrics, series) == 1, SOON, "it to be counted")
            wait_for_none_pending(metrics)

    assert delivery.json["title"] == "[home] drift on lufta"
    assert delivery.json["type"] == "warning"
    assert f"lufta: unit-stopped {BOT}" in delivery.json["message"]
    assert "aaaaaaaa" in delivery.json["message"]


def test_nothing_is_lost_while_a_target_is_away(tmp_path: Path) -> None:
    port = free_port()
    with telling(tmp_path, json_target(port)) as (notify, metrics):
        notify.host(away())
        failed = 'reconciler_notifications_total{kind="unreachable",result="failed"}'
        wait_until(lambda: (value(metrics, failed) or 0) >= 2, SOON, "two tries")
        oldest = "reconciler_notifications_oldest_pending_timestamp_seconds"
        assert (value(metrics, oldest) or 0) > 0
        assert value(metrics, "reconciler_notifications_pending") == 1
        notify.host(status())

        with Receiver(port=port) as receiver:
            receiver.wait_for(2)
            wait_for_none_pending(metrics)

    assert receiver.titles == ["cannot reach lufta", "lufta back again"]
    assert value(metrics, oldest) == 0


def test_a_target_that_does_not_accept_is_asked_again(tmp_path: Path) -> None:
    refusals = [Reply(status=code) for code in (500, 401)]
    with (
        Receiver(*refusals) as receiver,
        telling(tmp_path, json_target(receiver.port)) as (notify, metrics),
    ):
        notify.host(away())
        receiver.wait_for(3)
        wait_for_none_pending(metrics)

    assert receiver.titles == ["cannot reach lufta"] * 3


def test_a_target_that_is_away_keeps_no_other_waiting(tmp_path: Path) -> None:
    with Receiver() as receiver:
        targets = json_target(free_port(), "dead"), json_target(receiver.port)
        with telling(tmp_path, *targets) as (notify, metrics):
            notify.host(away())
            notify.host(status())
            receiver.wait_for(2)
            assert (value(metrics, "reconciler_notifications_pending") or 0) >= 2


def test_one_commit_on_many_hosts_is_one_message(tmp_path: Path) -> None:
    hosts = [HostName(f"host{number}") for number in range(12)]
    group = f"{patience(1.0):.1f}s"
    with Receiver() as receiver:
        target = json_target(receiver.port)
        with telling(tmp_path, target, group=group) as (notify, metrics):
            for host in hosts:
                notify.host(replace(DRIFTING, host=host))
            (delivery,) = receiver.wait_for(1)
            wait_for_none_pending(metrics)

    assert len(receiver.deliveries) == 1
    assert delivery.json["title"] == "drift on 12 hosts"
    assert all(f"{host}: " in delivery.json["message"] for host in hosts)


def test_every_target_hears_what_it_asked_for(tmp_path: Path) -> None:
    with Receiver() as drift, Receiver() as keanu, Receiver() as tagged:
        targets = (
            json_target(drift.port, "drift", events=["drift"]),
            json_target(keanu.port, "keanu", hosts=["keanu"]),
            json_target(tagged.port, "tagged", hosts=["@home"]),
        )
        with telling(tmp_path, *targets) as (notify, metrics):
            notify.host(DRIFTING)
            notify.host(away(host=HostName("keanu")))
            drift.wait_for(1)
            keanu.wait_for(1)
            tagged.wait_for(1)
            wait_for_none_pending(metrics)

    assert drift.titles == tagged.titles == ["drift on lufta"]
    assert keanu.titles == ["cannot reach keanu"]


def test_a_url_can_be_changed_in_its_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    with Receiver() as first, Receiver() as second:
        file.write_text(f"json://127.0.0.1:{first.port}/\n")
        target = {"name": "phone", "url_file": str(file)}
        with telling(tmp_path, target) as (notify, _):
            notify.host(away())
            first.wait_for(1)
            file.write_text(f"json://127.0.0.1:{second.port}/\n")
            notify.host(status())
            second.wait_for(1)

    assert second.titles == ["lufta back again"]


def test_what_another_process_tells_is_sent_by_the_daemon(tmp_path: Path) -> None:
    with Receiver() as receiver:
        target = json_target(receiver.port)
        with (
            telling(tmp_path, target),
            telling(tmp_path, target, start=False) as (other, _),
        ):
            other.host(away())
            receiver.wait_for(1)


def test_without_targets_nothing_is_kept(tmp_path: Path) -> None:
    with telling(tmp_path) as (notify, _):
        notify.host(away())
        notify.repository("away")
        commit = commit_of(COMMIT)
        notify.arrived(commit, [HOST])

    with contextlib.closing(History.open(tmp_path / "history.sqlite")) as history:
        assert history.outbox.told() == {}


def test_targets_that_were_taken_out_do_not_wait_for_ever(tmp_path: Path) -> None:
    with telling(tmp_path, json_target(free_port()), start=False) as (notify, _):
        notify.host(away())
    with telling(tmp_path):
        pass

    with contextlib.closing(History.open(tmp_path / "history.sqlite")) as history:
        assert history.outbox.targets() == set()
        assert history.outbox.told() == {}


def test_no_secret_of_a_url_leaves_the_settings(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = marked("token")
    token, state = secret.decode(), tmp_path / "state"
    state.mkdir()
    log = tmp_path / "log"

    def is_told() -> bool:
        # By itself after the start, or as soon as a message waits, whichever is first.
        ways = ("messages cannot be sent there", "message not accepted")
        lines = [line for line in log.read_text().splitlines() if "odd" in line]
        return any(way in line for line in lines for way in ways)

    with (
        log.open("w") as printed,
        Receiver(Reply(status=500)) as receiver,
        watching_processes(secret) as seen,
    ):
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(printed))
        target = {
            "name": "phone",
            "url": f"json://me:{token}@127.0.0.1:{receiver.port}/{token}?+X-Key={token}",
        }
        dead = {"name": "dead", "url": f"json://127.0.0.1:{free_port()}/{token}"}
        odd = {"name": "odd", "url": f"nonsense://{token}"}
        with telling(state, target, dead, odd) as (notify, metrics):
            notify.host(away())
            (delivery, *_) = receiver.wait_for(2)
            wait_until(is_told, SOON, "the odd target to be told of")
            text = metrics.render()[0]

    assert token in delivery.path  # it was really used
    said = log.read_text() + "".join(capfd.readouterr())
    texts = {"said": said.encode(), "metrics": text}
    assert find_leaks(secret, state_dirs=[state], texts=texts) == []
    assert seen == []


# --- what happens between two lives ----------------------------------------------

CHILD = """
import sys, time
from pathlib import Path
from reconciler.history import History
from reconciler.metrics import Metrics
from reconciler.notify import Notify
from tests.adapters.test_notifications import json_target, settings_for
from tests.unit.notify.samples import away

state, port = Path(sys.argv[1]), int(sys.argv[2])
settings = settings_for(state, json_target(port))
history = History.open(state / "history.sqlite")
notify = Notify(settings, history, Metrics(), time.time)
notify.start()
notify.host(away())
print("told", flush=True)
sys.stdin.read()  # until the test is over, whatever becomes of it
"""


def test_a_message_survives_kill_9_in_the_middle_of_its_delivery(
    tmp_path: Path,
) -> None:
    with Receiver() as receiver:
        receiver.answering.clear()
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(receiver.port)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with child:
            receiver.wait_for(1)
            child.send_signal(signal.SIGKILL)
        receiver.answering.set()

        with telling(tmp_path, json_target(receiver.port)) as (notify, metrics):
            # It is still away, and that was told: only what waits is sent.
            notify.host(away())
            receiver.wait_for(2)
            wait_for_none_pending(metrics)
            notify.host(status())
            receiver.wait_for(3)

    first, again, back = receiver.titles
    assert first == again == "cannot reach lufta"
    assert back == "lufta back again"
    # Whoever must not act twice can tell them by their key.
    assert receiver.deliveries[0].json == receiver.deliveries[1].json


def test_a_change_while_the_program_was_dead_is_told(tmp_path: Path) -> None:
    with Receiver() as receiver:
        target = json_target(receiver.port)
        with telling(tmp_path, target) as (notify, metrics):
            notify.host(DRIFTING)
            receiver.wait_for(1)
            wait_for_none_pending(metrics)
        with telling(tmp_path, target) as (notify, _):
            notify.host(status())
            receiver.wait_for(2)

    assert receiver.titles == ["drift on lufta", "healed lufta"]


# --- what the loop tells ---------------------------------------------------------


def commit_of(commit: CommitId, subject: str = "Move the bot") -> Commit:
    return Commit(
        id=commit,
        tree="t",
        branch="main",
        subject=subject,
        author="A. Person",
        committed_at=0.0,
    )


def waiting(tmp_path: Path, name: str = "phone") -> list[str]:
    """Return what waits, as ``kind host``."""
    with contextlib.closing(History.open(tmp_path / "history.sqlite")) as history:
        found = [one.message for one in history.outbox.waiting(name)]
    return [f"{message.kind.value} {message.host}".strip() for message in found]


def test_the_repository_is_told_of_once_and_when_it_is_well_again(
    tmp_path: Path,
) -> None:
    with telling(tmp_path, json_target(1), start=False) as (notify, _):
        for problem in ("", "cannot fetch", "cannot fetch", "cannot clone", "", ""):
            notify.repository(problem)

    assert waiting(tmp_path) == ["repository-unreadable", "recovered"]


def test_a_host_that_left_the_repository_ends_what_was_told(tmp_path: Path) -> None:
    with telling(tmp_path, json_target(1), start=False) as (notify, _):
        notify.arrived(commit_of(COMMIT), [HOST, HostName("keanu")])
        notify.host(away())
        notify.arrived(commit_of(CommitId("b" * 40)), [HostName("keanu")])

    assert waiting(tmp_path) == ["unreachable lufta", "recovered lufta"]


@pytest.mark.parametrize("of", [status(), away(), DRIFTING])
def test_the_same_state_a_thousand_times_is_one_message_at_most(
    tmp_path: Path, of: HostStatus
) -> None:
    with telling(tmp_path, json_target(1), start=False) as (notify, _):
        for _ in range(1000):
            notify.host(of)

    assert len(waiting(tmp_path)) <= 1


def test_the_text_that_is_kept_is_readable_json(tmp_path: Path) -> None:
    with telling(tmp_path, json_target(1), start=False) as (notify, _):
        notify.host(away())

    with contextlib.closing(History.open(tmp_path / "history.sqlite")) as history:
        told = json.loads(history.outbox.told()["lufta"])
    assert list(told["bad"]) == ["unreachable"]
