"""How often hosts that ring are looked at."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.loop.damper import QUIET, Damper, allowed, longest_gap

INTERVAL = 300.0
MOST = allowed(INTERVAL)
LONGEST_GAP = longest_gap(INTERVAL)


def looks(
    damper: Damper, rings: list[float], interval: float = INTERVAL
) -> list[float]:
    """Return when a host that rings at these times is looked at for it."""
    found = {
        at + after for at in rings if (after := damper.rang(at, interval)) is not None
    }
    return sorted(found)


def test_the_first_ring_is_answered_at_once() -> None:
    assert looks(Damper(), [100.0]) == [100.0]


def test_a_burst_is_looked_at_less_and_less_often_and_after_its_end() -> None:
    rings = [100.0 + tenth / 10 for tenth in range(300)]

    found = looks(Damper(), rings)

    assert found[0] == 100.0
    assert len(found) < 10
    gaps = [after - before for before, after in pairwise(found)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == pytest.approx(LONGEST_GAP)
    assert rings[-1] <= found[-1] <= rings[-1] + LONGEST_GAP


def test_another_burst_is_answered_at_once_again() -> None:
    damper = Damper()
    looks(damper, [100.0 + tenth / 10 for tenth in range(20)])

    assert looks(damper, [120.0]) == [120.0]


@pytest.mark.parametrize("pause", [0.1, 2 * QUIET])
def test_what_rings_without_end_is_left_to_the_regular_looks(pause: float) -> None:
    damper = Damper()
    rings = [100.0 + number * pause for number in range(int(20 * INTERVAL / pause))]

    found = looks(damper, rings)

    assert len(found) == MOST
    assert damper.flaps(rings[-1], INTERVAL)
    assert damper.rang(rings[-1] + 1.0, INTERVAL) is None


@pytest.mark.parametrize("interval", [5.0, 30.0, 60.0, 300.0, 3600.0])
def test_what_never_pauses_is_found_out_whatever_the_interval(interval: float) -> None:
    damper = Damper()
    rings = [100.0 + number / 10 for number in range(int(40 * interval))]

    found = looks(damper, rings, interval)

    assert len(found) <= allowed(interval) + 1
    assert damper.flaps(rings[-1], interval)


def test_it_is_over_once_the_host_rings_less() -> None:
    damper = Damper()
    looks(damper, [100.0 + number for number in range(250)])
    assert damper.flaps(349.0, INTERVAL)

    assert not damper.flaps(700.0, INTERVAL)
    assert damper.rang(700.0, INTERVAL) == 0.0


def test_a_host_that_rings_once_a_minute_never_flaps() -> None:
    rings = [100.0 + 60 * number for number in range(100)]

    assert looks(Damper(), rings) == rings


@given(
    st.lists(st.floats(0.0, 1e5, allow_nan=False), max_size=300).map(sorted),
    st.floats(1.0, 1e4),
)
def test_no_interval_has_more_looks_than_are_allowed(
    rings: list[float], interval: float
) -> None:
    found = looks(Damper(), rings, interval)

    for first, last in zip(found, found[allowed(interval) :], strict=False):
        assert last - first >= interval - longest_gap(interval)


@given(st.lists(st.floats(0.0, 1e5, allow_nan=False), min_size=1, max_size=MOST - 1))
def test_every_ring_is_followed_by_a_look(rings: list[float]) -> None:
    damper = Damper()

    for at in sorted(rings):
        after = damper.rang(at, INTERVAL)
        assert after is not None
        assert 0.0 <= after <= LONGEST_GAP
