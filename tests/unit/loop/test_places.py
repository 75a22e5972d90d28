"""Places of those that answer, and of those that are looked for."""

import threading

import pytest

from reconciler.errors import ConnectError
from reconciler.loop.places import Places
from reconciler.loop.results import Again, Done, Failed, Result
from reconciler.model import HostName
from tests.support.wait import wait_until

A, B, C, D = map(HostName, "abcd")


@pytest.fixture
def places() -> Places:
    """One of each kind; two hosts are away."""
    places = Places(1)
    places.lost(A)
    places.lost(B)
    return places


def test_a_host_that_is_away_takes_no_place_of_others(places: Places) -> None:
    assert places.enter(A)
    assert not places.enter(B), "there is one such place"
    assert places.enter(C)
    places.leave(C)
    places.leave(A)

    assert places.enter(B)


def test_who_waits_is_not_overtaken(places: Places) -> None:
    """Else a host might wait for ever where others come again and again."""
    order: list[HostName] = []
    assert places.enter(C)

    def wait() -> None:
        places.enter(D)
        order.append(D)
        places.leave(D)

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: places.waiting == 1, 10, "the other to wait")
    places.leave(C)
    assert places.enter(C)
    order.append(C)
    places.leave(C)
    waiting.join()

    assert order == [D, C]


def test_a_host_that_is_found_waits_for_a_place_as_all_do(places: Places) -> None:
    assert places.enter(A)
    assert places.enter(C)
    moved = threading.Event()

    def find() -> None:
        places.found(A)
        moved.set()

    thread = threading.Thread(target=find)
    thread.start()
    assert not moved.wait(0.05)
    places.leave(C)
    assert moved.wait(20)
    thread.join()
    places.leave(A)
    assert places.enter(C)


def test_no_place_is_made_of_nothing() -> None:
    places = Places(1)
    places.found(A)  # it was not looked for

    with pytest.raises(ValueError, match="released too many times"):
        places.leave(A)


@pytest.mark.parametrize(
    ("result", "away"),
    [
        (Failed(ConnectError("refused", host="a")), True),
        (Again(1.0), False),
        (Done(), False),
        (None, False),
    ],
)
def test_who_answers_is_not_away(result: Result | None, *, away: bool) -> None:
    places = Places(1)
    places.lost(A)
    places.note(A, result)

    assert places.enter(A)
    free = threading.Thread(target=places.enter, args=[C], daemon=True)
    free.start()
    free.join(5 if away else 0.05)

    assert free.is_alive() is not away
