"""A host that deploys itself tells of that: real signatures, to a server of ours."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from reconciler.history import History
from reconciler.loop.reporter import BACKOFF_CAP, Reporter
from reconciler.model import Drift, DriftKind, HostName, HostStatus, Report, Verdict
from reconciler.remote import HostKey, public_key
from reconciler.reports import LIMIT, ReportError, decode, encode, flaw
from reconciler.settings import HostSettings, ReportSettings, Transport
from tests.support.receiver import Delivery, Receiver, Reply
from tests.support.reports import STOPPED, make_key, public, status_of
from tests.support.scene import Scene
from tests.support.wait import wait_until

LAPTOP = HostName("laptop")
TAKEN = Reply(status=204, body="")
EVERY = 300.0


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("keys") / "ssh_host_ed25519_key")


@pytest.fixture
def central() -> Iterator[Receiver]:
    with Receiver(*[TAKEN] * 20) as server:
        yield server


class Host:
    """A reporter, and the host that it tells of."""

    def __init__(self, scene: Scene, url: str, key: Path) -> None:
        settings = scene.settings.model_copy(
            update={
                "hosts": {LAPTOP: HostSettings(transport=Transport.LOCAL)},
                "report": ReportSettings(url=url, interval=EVERY, key=key),
            }
        )
        scene.world.live.use(settings, scene.world.policy)
        self.scene = scene
        self.ill = ""
        self.reporter = Reporter(scene.world, lambda: self.ill)

    @property
    def history(self) -> History:
        """What the passes have written down."""
        return self.scene.history

    def seen(self, status: HostStatus) -> None:
        """Have a pass end."""
        self.history.save_status(replace(status, updated_at=self.scene.clock()))

    def later(self, seconds: float) -> float:
        """Let time go by; return the seconds until the next turn."""
        self.scene.clock.advance(seconds)
        return self.reporter.turn()


@pytest.fixture
def host(scene: Scene, central: Receiver, key: Path) -> Host:
    return Host(scene, f"http://127.0.0.1:{central.port}/central", key)


def reported(delivery: Delivery) -> Report:
    host, report = decode(delivery.body)
    assert host == LAPTOP
    return report


def test_what_is_sent_is_signed_by_the_host_key(
    host: Host, central: Receiver, key: Path
) -> None:
    host.seen(status_of("laptop"))

    assert host.reporter.turn() == EVERY

    (sent,) = central.deliveries
    assert (sent.method, sent.path) == ("POST", "/central/reports/laptop")
    signature = base64.b64decode(sent.headers["reconciler-signature"]).decode()
    signer: HostKey = public_key(public(key))
    assert flaw(sent.body, signature, [signer]) == ""
    assert flaw(sent.body + b" ", signature, [signer]) != ""
    report = reported(sent)
    assert (report.at, report.every) == (host.scene.clock(), EVERY)
    assert report.status.in_sync


def test_it_tells_what_is_new_at_once_and_else_now_and_then(
    host: Host, central: Receiver
) -> None:
    assert host.reporter.turn() == EVERY
    assert not central.deliveries, "nothing was looked at yet"

    host.seen(status_of("laptop"))
    host.later(1)
    host.seen(status_of("laptop"))  # the next pass finds the same
    assert host.later(1) == EVERY - 1
    assert len(central.deliveries) == 1

    host.seen(status_of("laptop", STOPPED))
    host.later(1)
    assert len(central.deliveries) == 2

    assert host.later(EVERY) == EVERY
    numbers = [reported(one).number for one in central.deliveries]
    assert numbers == sorted({*numbers})
    assert len(numbers) == 3


def test_a_clock_that_goes_back_gives_no_number_twice(
    host: Host, central: Receiver
) -> None:
    host.seen(status_of("laptop"))
    host.reporter.turn()
    clock, began = host.scene.clock, host.scene.clock()
    host.scene.world = replace(host.scene.world, now=lambda: began - 60)
    # The same program goes on with another clock on the wall.
    host.reporter._world = host.scene.world  # noqa: SLF001
    clock.advance(EVERY)
    host.reporter.turn()

    first, second = (reported(one) for one in central.deliveries)
    assert second.at < first.at
    assert second.number > first.number


def test_what_ails_the_daemon_is_told_so_that_nobody_takes_it_for_well(
    host: Host, central: Receiver
) -> None:
    host.seen(status_of("laptop"))
    host.ill = "the repository was not looked at for 900 s"

    host.reporter.turn()

    status = reported(central.deliveries[0]).status
    assert (status.verdict, status.in_sync) == (Verdict.CONVERGED, False)
    assert status.error == host.ill


def test_a_report_that_is_not_taken_is_made_anew_ever_later(
    host: Host, central: Receiver
) -> None:
    refusal = Reply(status=422, body='{"detail": "the clock is\\u001b[2J wrong"}')
    elsewhere = Reply(status=307, headers={"Location": "http://127.0.0.1:1/"})
    busy = Reply(status=503, headers={"Retry-After": "400"}, body="<html>")
    central.replies[:] = [refusal, elsewhere, busy, TAKEN]
    host.seen(status_of("laptop"))

    with capture_logs() as logs:
        wait = host.reporter.turn()
        assert 0 < wait < 30
        left = host.later(wait / 2)
        assert left == pytest.approx(wait / 2, abs=0.01), "not before its time"
        assert len(central.deliveries) == 1
        host.scene.clock.advance(wait)
        wait = host.reporter.turn()
        assert host.later(wait) >= 400, "as the server asks"
        assert host.later(BACKOFF_CAP) == EVERY

    told = [one for one in logs if one["log_level"] != "debug"]
    assert [one["event"] for one in told] == [
        "cannot report",
        "reports are taken again",
    ]
    assert told[0]["reason"].endswith("answers 422: the clock is wrong")


def test_without_its_key_or_a_server_it_waits(scene: Scene, tmp_path: Path) -> None:
    nowhere = Host(scene, "http://127.0.0.1:9", tmp_path / "no_key")
    nowhere.seen(status_of("laptop"))

    with capture_logs() as logs:
        assert nowhere.reporter.turn() > 0

    assert "no_key" in str(logs[-1]["reason"])


def test_nothing_waits_for_a_server_that_does_not_answer(
    host: Host, central: Receiver
) -> None:
    central.answering.clear()
    host.seen(status_of("laptop"))
    host.reporter.start()
    wait_until(lambda: host.reporter._number > 0, 60.0, "it to send")  # noqa: SLF001

    host.reporter.ring()
    host.seen(status_of("laptop", STOPPED))

    host.reporter.stop()


def test_of_more_differences_than_fit_the_first_are_told() -> None:
    drifts = [
        Drift(kind=DriftKind.UNIT_CHANGED, subject=f"{'u' * 200}-{number}.service")
        for number in range(2000)
    ]
    report = Report(number=1, at=1.0, every=EVERY, status=status_of("laptop", *drifts))

    text = encode(LAPTOP, report)

    assert len(text) <= LIMIT
    _, told = decode(text)
    kept = told.status.drifts
    assert 100 < len(kept) < 2000
    assert list(kept) == drifts[: len(kept)]


def test_a_report_reads_as_it_was_written() -> None:
    status = replace(status_of("laptop", STOPPED), error="gone\nto \x1b[1mbits")
    report = Report(number=7, at=1.5, every=EVERY, status=status)

    assert decode(encode(LAPTOP, report)) == (
        LAPTOP,
        replace(report, status=replace(status, error="gone\nto bits")),
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"verdict": Verdict.SILENT},
        {"verdict": Verdict.NO_ADDRESS},
        {"units_desired": 1 << 40},
        {"keys_present": -1},
        {"updated_at": 1e15},
        {"running": "/etc/passwd"},
        {"commit": "no commit"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    """Else one host could make the database, or a scrape, fail for what it says."""
    status = replace(status_of("laptop"), **fields)
    report = Report(number=1, at=1.0, every=EVERY, status=status)

    with pytest.raises(ReportError, match="cannot be"):
        decode(encode(LAPTOP, report))
