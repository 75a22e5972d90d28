"""Hosts that ring: when they are looked at, and what is said of their bells."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.errors import RemoteError
from reconciler.loop.bells import FLAPPING, READY_WITHIN, Bells
from reconciler.loop.damper import MOST  # of an interval of minutes
from reconciler.loop.queue import Queue
from reconciler.model import Bell, BellState, BellUse, Desired, HostName, Mode
from reconciler.observed.bell import LOOK, READY
from reconciler.remote import Hear
from tests.support.scene import Scene
from tests.support.world import KEYS, desired_of

HOST = HostName("lufta")
RINGS = Bell(state=BellState.RINGS)


class Ringing:
    """A scene with the bells of its one host, and the queue that they look by."""

    def __init__(self, folder: Path) -> None:
        self.scene = Scene(folder, interval=300.0)
        self.scene.metrics.host_known(HOST)
        self.queue: Queue[HostName] = Queue(clock=self.scene.clock)
        self.bells = Bells(self.scene.world, self.queue)
        services = {"bot.service": "1", f"{KEYS}token": "1"}
        self.desired: Desired = desired_of(HOST, services, folder / "drv")

    @property
    def bell(self) -> Bell:
        """How the bell of the host stands."""
        return self.bells.all()[HOST]

    def tend(self, *, adopted: bool = True) -> None:
        """Do what a pass does for a host that has answered."""
        self.bells.tend(self.desired, adopted=adopted)

    def says(self, *words: str | None) -> None:
        """Have the host say something, as its script does."""
        for word in words:
            self.hear(word)

    @property
    def hear(self) -> Hear:
        """What hears the host."""
        return self.scene.connections.heard[HOST][1]

    def looked(self) -> bool:
        """Whether the host is due, which a worker then takes and gives back."""
        host = self.queue.get(timeout=0)
        if host is not None:
            self.queue.done(host)
        return host is not None

    def report(self) -> None:
        """Have the reconciler report only."""
        settings, policy = self.scene.world.live.now
        self.scene.world.live.use(settings, replace(policy, mode=Mode.REPORT))

    def use(self, use: BellUse) -> None:
        """Change the setting, as a new settings file does."""
        settings, policy = self.scene.world.live.now
        new = settings.policy.model_copy(update={"bell": use})
        changed = settings.model_copy(update={"policy": new})
        self.scene.world.live.use(changed, policy)


@pytest.fixture
def ringing(tmp_path: Path) -> Iterator[Ringing]:
    ringing = Ringing(tmp_path)
    yield ringing
    ringing.scene.close()


def test_who_only_reports_starts_nothing_on_hosts(ringing: Ringing) -> None:
    ringing.tend()
    ringing.says(READY)

    ringing.report()
    ringing.tend()

    assert ringing.bell.state is BellState.POLLED
    assert "report" in ringing.bell.why
    assert HOST not in ringing.scene.connections.heard


def test_a_ring_is_a_look_at_once(ringing: Ringing) -> None:
    ringing.tend()
    assert ringing.bell.state is BellState.POLLED
    ringing.says(READY)
    assert ringing.bell == RINGS
    assert ringing.looked(), "what was before its bell worked, nobody heard"
    assert not ringing.looked()

    ringing.says(LOOK)

    assert ringing.looked()
    series = 'reconciler_host_bell{host="lufta",state="rings"}'
    assert ringing.scene.metric(series) == 1
    assert ringing.scene.metric('reconciler_bell_rings_total{host="lufta"}') == 1


def test_folders_of_keys_are_watched_as_well(ringing: Ringing) -> None:
    ringing.tend()

    script, _ = ringing.scene.connections.heard[HOST]

    assert " /run/keys " in script.splitlines()[1] + " "


def test_a_host_is_asked_once_and_again_when_it_has_other_keys(
    ringing: Ringing,
) -> None:
    ringing.tend()
    ringing.says(READY)
    ringing.tend()
    assert ringing.bell == RINGS

    services = {f"{KEYS}deeper/token": "1"}
    ringing.desired = desired_of(HOST, services, Path("/none"))
    ringing.tend()
    assert ringing.bell.state is BellState.POLLED
    ringing.says(READY)
    assert ringing.bell == RINGS


def test_what_we_do_ourselves_is_one_look_when_it_is_done(ringing: Ringing) -> None:
    ringing.tend()
    ringing.says(READY)
    assert ringing.looked()

    with ringing.bells.hushed(HOST):
        for _ in range(3 * MOST):
            ringing.says(LOOK)
            ringing.scene.clock.advance(2.0)
        assert not ringing.looked()
    assert ringing.looked()
    assert not ringing.looked()
    assert ringing.bell == RINGS

    with ringing.bells.hushed(HOST):
        pass
    assert not ringing.looked()


def test_a_bell_that_ends_is_a_look_and_hung_again(ringing: Ringing) -> None:
    ringing.tend()
    ringing.says(READY)
    assert ringing.looked()

    hear = ringing.hear
    ringing.scene.connections.heard.clear()
    hear(None)

    assert ringing.bell.state is BellState.POLLED
    assert ringing.looked()
    ringing.tend()
    ringing.scene.clock.advance(2.0)
    assert ringing.looked(), "a look is due for the new bell"
    ringing.tend()
    ringing.says(READY)
    assert ringing.bell == RINGS


def test_a_bell_that_an_attempt_ended_is_hung_when_it_is_over(
    ringing: Ringing,
) -> None:
    ringing.tend()
    ringing.says(READY)
    assert ringing.looked()

    with ringing.bells.hushed(HOST):
        hear = ringing.hear
        ringing.scene.connections.heard.clear()
        hear(None)
    ringing.tend()

    assert ringing.scene.connections.heard


def test_a_host_that_cannot_ring_says_why_and_is_not_asked_at_each_look(
    ringing: Ringing,
) -> None:
    ringing.tend()

    hear = ringing.hear
    hear("there is no journalctl")
    hear(None)

    why = "there is no journalctl"
    assert ringing.bell == Bell(state=BellState.POLLED, why=why)
    assert not ringing.looked()
    ringing.tend()
    assert not ringing.scene.connections.heard
    ringing.scene.clock.advance(900.0)
    ringing.tend()
    assert ringing.scene.connections.heard


def test_a_host_whose_journal_is_silent_is_polled(ringing: Ringing) -> None:
    ringing.tend()
    ringing.scene.clock.advance(READY_WITHIN + 1)

    assert "journal" in ringing.bell.why
    ringing.tend()
    assert not ringing.scene.connections.heard, "nothing is left running there"


def test_what_ssh_says_against_it_is_why(
    ringing: Ringing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listen(*_: object) -> bool:
        what = "listening"
        raise RemoteError(what, host=HOST, status=-1, stderr="too few sessions")

    monkeypatch.setattr(ringing.scene.connections, "listen", listen)
    ringing.tend()

    assert "too few sessions" in ringing.bell.why


def test_a_host_that_rings_without_end_flaps_and_it_is_told_once(
    ringing: Ringing,
) -> None:
    ringing.tend()
    ringing.says(READY)
    assert ringing.looked()

    looks = 0
    for _ in range(3 * MOST):
        ringing.says(LOOK)
        if ringing.looked():
            looks += 1
            ringing.tend()
        ringing.scene.clock.advance(3.0)

    assert looks == MOST
    assert ringing.bell.state is BellState.FLAPPING
    series = 'reconciler_host_bell{host="lufta",state="flapping"}'
    assert ringing.scene.metric(series) == 1
    ringing.tend()
    events = ringing.scene.history.events(host=HOST)
    assert [event.kind for event in events] == [FLAPPING]

    ringing.scene.clock.advance(600.0)
    ringing.tend()
    assert ringing.bell == RINGS


@pytest.mark.parametrize("use", [BellUse.OFF, BellUse.AUTO])
def test_where_it_is_not_wanted_nothing_runs(ringing: Ringing, use: BellUse) -> None:
    ringing.tend()
    ringing.says(READY)

    ringing.use(use)
    ringing.tend(adopted=use is BellUse.OFF)

    assert not ringing.scene.connections.heard
    assert ringing.bell.state is BellState.POLLED


def test_a_host_that_is_gone_is_not_heard(ringing: Ringing) -> None:
    ringing.tend()
    hear = ringing.hear
    ringing.bells.forget(HOST)

    hear(READY)
    hear(LOOK)
    hear(None)

    assert not ringing.looked()
    assert not ringing.bells.all()
