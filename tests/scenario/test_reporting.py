"""A host that deploys itself, as the central reconciler sees it while time goes by."""

from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from reconciler.history import KeptReport
from reconciler.loop import Done
from reconciler.model import HostName, HostStatus, Verdict
from reconciler.settings import HostSettings, Transport
from tests.support.reports import STOPPED, report_of, status_of
from tests.support.scene import Scene

A = {"keanu": {"withinbot.service": "1"}, "lufta": {"withinbot.service": "1"}}
LUFTA = HostName("lufta")
PULL = HostSettings(transport=Transport.PULL)
EVERY = 300.0  # seconds, of these reports
COUNTS = 2 * EVERY + 60


@pytest.fixture
def central(scene: Scene) -> Scene:
    """Return a scene with one host that deploys itself."""
    pulls(scene, {"lufta": PULL})
    scene.commit(A)
    return scene


def pulls(scene: Scene, hosts: Mapping[str, HostSettings]) -> None:
    settings = scene.settings.model_copy(update={"hosts": hosts})
    scene.world.live.use(settings, scene.world.policy)


def report(scene: Scene, status: HostStatus) -> None:
    """Take a report that was judged before."""
    text = report_of(status, scene.clock()).decode()
    kept = KeptReport(number=int(scene.clock() * 1000), at=scene.clock(), text=text)
    assert scene.history.reports.take(LUFTA, kept)


def status(scene: Scene) -> HostStatus:
    assert scene.run("lufta") == Done()
    return next(one for one in scene.history.statuses() if one.host == LUFTA)


def test_nothing_of_it_is_evaluated_or_reached(central: Scene) -> None:
    lufta = central.machine("lufta")
    looked: list[str] = []
    lufta.before_read = lambda: looked.append("at it")

    found = status(central)

    assert (found.verdict, found.reachable, found.in_sync) == (
        Verdict.SILENT,
        False,
        False,
    )
    assert not found.is_away
    assert found.error == "it deploys itself, and has not reported yet"
    assert looked == []
    assert central.evaluator.evaluated == []
    assert central.attempts("lufta") == []


def test_what_it_reports_counts_for_a_while(central: Scene) -> None:
    report(central, status_of("lufta"))
    assert status(central).in_sync

    central.clock.advance(COUNTS - 1)
    assert status(central).in_sync
    assert central.metric('reconciler_host_in_sync{host="lufta"}') == 1

    central.clock.advance(2)
    found = status(central)
    assert (found.verdict, found.reachable) == (Verdict.SILENT, False)
    assert central.metric('reconciler_host_in_sync{host="lufta"}') == 0
    assert central.metric('reconciler_host_up{host="lufta"}') == 0
    assert "has not reported since" in found.error
    # A week later it is back, and all is well at once.
    central.clock.advance(7 * 86400)
    assert status(central).verdict is Verdict.SILENT
    report(central, status_of("lufta"))
    assert status(central).in_sync


def test_silence_is_no_drift_and_no_error(central: Scene) -> None:
    report(central, status_of("lufta", STOPPED))
    assert status(central).drift_since is not None

    central.clock.advance(COUNTS + 1)

    with capture_logs() as logs:
        found = status(central)
    assert [(one["event"], one["log_level"]) for one in logs] == [
        ("host is silent", "info")
    ]
    assert (found.drifts, found.drift_since) == ((), None)
    assert not found.is_away


def test_a_restart_changes_nothing_of_what_is_known(central: Scene) -> None:
    report(central, status_of("lufta", STOPPED))
    before = status(central)

    central.history.close()
    central.begin()
    pulls(central, {"lufta": PULL})
    central.repository.look()

    assert status(central) == before
    assert before.report_at == central.clock()


def test_one_that_is_reached_over_ssh_again_is_looked_at(central: Scene) -> None:
    report(central, status_of("lufta"))
    assert status(central).deploys_itself

    pulls(central, {})

    central.run("lufta")
    (found,) = (one for one in central.history.statuses() if one.host == LUFTA)
    assert not found.deploys_itself
    assert central.machine("lufta").running == found.target


def test_one_that_deployed_itself_is_not_healed_from_here(central: Scene) -> None:
    pulls(central, {})
    central.run("lufta")
    central.machine("lufta").change("withinbot.service", active_state="inactive")
    pulls(central, {"lufta": PULL})

    central.run("lufta")

    stopped = central.machine("lufta").units["withinbot.service"]
    assert stopped.active_state == "inactive"
