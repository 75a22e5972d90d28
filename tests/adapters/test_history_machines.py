"""Which names lead to one machine, and what a machine takes along to a new name."""

from collections.abc import Iterator

import pytest

from reconciler.history import History, Sighting, approval_of_system
from reconciler.history.machines import Shared
from reconciler.model import Hold, HostName, Quarantine, StorePath
from tests.support.places import Place

SELDOM_POSTGRESQL = True

KEANU, LUFTA = HostName("keanu"), HostName("lufta")
BAD = StorePath("/nix/store/bad-system")
ALONE = Shared()


@pytest.fixture
def history(place: Place) -> Iterator[History]:
    with place.opened() as history:
        yield history


def seen(boot_id: str, at: float, machine_id: str = "m") -> Sighting:
    """Return a look that took a second."""
    return Sighting(
        machine_id=machine_id, boot_id=boot_id, began_at=at, ended_at=at + 1.0
    )


def test_a_machine_is_remembered_until_it_is_forgotten(history: History) -> None:
    machines = history.machines
    assert machines.id_of(KEANU) is None
    machines.meet(KEANU, seen("1", 0, "0123"))
    machines.meet(LUFTA, seen("1", 0, "4567"))
    machines.meet(KEANU, seen("1", 0, "89ab"))
    assert machines.id_of(KEANU) == "89ab"
    machines.forget(KEANU)
    assert machines.id_of(KEANU) is None
    assert machines.id_of(LUFTA) == "4567"


def test_one_boot_under_two_names_is_one_machine(history: History) -> None:
    assert history.machines.meet(KEANU, seen("1", 0)) == ALONE

    assert history.machines.meet(LUFTA, seen("1", 5)).same == {KEANU}
    assert history.machines.meet(KEANU, seen("1", 10)).same == {LUFTA}


def test_it_stays_one_while_only_one_name_was_looked_at_since_a_reboot(
    history: History,
) -> None:
    history.machines.meet(KEANU, seen("1", 0))
    history.machines.meet(LUFTA, seen("1", 5))

    assert history.machines.meet(KEANU, seen("2", 10)).alike == {LUFTA}
    assert history.machines.shared(KEANU, seen("2", 12)).alike == {LUFTA}
    assert history.machines.meet(LUFTA, seen("2", 15)).same == {KEANU}


def test_clones_are_told_apart_once_both_were_seen_up_at_one_time(
    history: History,
) -> None:
    machines = history.machines
    machines.meet(KEANU, seen("1", 0))
    assert machines.meet(LUFTA, seen("2", 5)).alike == {KEANU}

    assert machines.meet(KEANU, seen("1", 10)).alike == {LUFTA}
    assert machines.meet(LUFTA, seen("2", 15)) == ALONE
    assert machines.meet(KEANU, seen("1", 20)) == ALONE
    assert machines.meet(LUFTA, seen("3", 25)) == ALONE, "also after a reboot"


def test_a_look_that_lasted_over_a_reboot_proves_nothing(history: History) -> None:
    history.machines.meet(KEANU, seen("1", 5.0))
    slow = Sighting(machine_id="m", boot_id="2", began_at=4.0, ended_at=9.0)

    assert history.machines.meet(LUFTA, slow).alike == {KEANU}


def test_without_a_machine_id_nothing_is_said(history: History) -> None:
    history.machines.meet(KEANU, seen("1", 0, ""))

    assert history.machines.meet(LUFTA, seen("1", 1, "")) == ALONE


def test_a_renamed_machine_takes_along_what_was_ordered_about_it(
    history: History,
) -> None:
    history.machines.meet(KEANU, seen("1", 0))
    hold = Hold(host=KEANU, reason="disk", actor="cadey", since=1.0)
    history.hold(hold)
    failed = Quarantine(host=KEANU, toplevel=BAD, reason="x", since=1.0, attempt="a")
    history.quarantine(failed)
    history.approve(approval_of_system(KEANU, BAD), host=KEANU, now=1.0)
    history.note_delivered(KEANU, ["/run/keys/bot"])
    history.machines.declare([LUFTA])
    history.forget_host(KEANU)

    assert history.machines.meet(LUFTA, seen("1", 5)).inherited

    (held,) = history.holds(5.0)
    assert (held.host, held.reason, held.actor) == (LUFTA, "disk", "cadey")
    assert history.quarantine_of(LUFTA, BAD) is not None
    assert history.quarantines()[0].host == LUFTA
    assert history.is_approved(approval_of_system(LUFTA, BAD))
    assert history.delivered(LUFTA) == {"/run/keys/bot"}
    assert "held as keanu" in history.events(host=LUFTA)[0].text
    assert history.machines.meet(LUFTA, seen("1", 6)) == ALONE


def test_a_clone_inherits_nothing(history: History) -> None:
    machines = history.machines
    machines.meet(KEANU, seen("1", 0))
    machines.meet(LUFTA, seen("2", 5))
    machines.meet(KEANU, seen("1", 10))
    machines.meet(LUFTA, seen("2", 12))
    history.hold(Hold(host=KEANU, reason="disk", actor="cadey", since=1.0))
    machines.declare([LUFTA])

    assert machines.meet(LUFTA, seen("2", 15)) == ALONE

    assert history.hold_of(LUFTA, 15) is None
    assert history.hold_of(KEANU, 15) is not None


def test_a_look_that_began_before_its_name_was_taken_away_brings_nothing_back(
    history: History,
) -> None:
    machines = history.machines
    machines.declare([KEANU, LUFTA])
    machines.meet(KEANU, seen("1", 0))
    assert machines.meet(LUFTA, seen("1", 5)).same == {KEANU}

    machines.declare([KEANU])
    machines.meet(LUFTA, seen("1", 10))

    assert machines.meet(KEANU, seen("1", 15)).same == frozenset()
    assert machines.shared(KEANU, seen("1", 20)) == ALONE


def test_a_name_that_comes_back_counts_again(history: History) -> None:
    history.machines.meet(KEANU, seen("1", 0))
    history.machines.declare([LUFTA])
    history.machines.declare([LUFTA, KEANU])

    assert history.machines.meet(LUFTA, seen("1", 5)).same == {KEANU}
