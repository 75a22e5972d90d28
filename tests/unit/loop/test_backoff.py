"""How long the loop waits after failures in a row."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.loop.queue import Backoff

counts = st.integers(min_value=1, max_value=3000)


def longest_waits(times: int) -> list[float]:
    """Return the waits when the dice always show their greatest number."""
    backoff: Backoff[str] = Backoff(base=1.0, cap=300.0, draw=lambda: 1.0)
    return [backoff.failed("keanu") for _ in range(times)]


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    assert longest_waits(11) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


@given(counts)
def test_a_host_that_fails_for_ever_is_retried_for_ever(times: int) -> None:
    assert longest_waits(times)[-1] <= 300.0


@given(st.floats(min_value=0, max_value=1, exclude_max=True), counts)
def test_the_jitter_is_full(draw: float, times: int) -> None:
    backoff: Backoff[str] = Backoff(base=1.0, cap=300.0, draw=lambda: draw)
    waits = [backoff.failed("keanu") for _ in range(times)]

    assert waits == [draw * longest for longest in longest_waits(times)]


def test_the_default_dice_differ_from_throw_to_throw() -> None:
    backoff: Backoff[int] = Backoff(base=1.0, cap=300.0)

    assert len({backoff.failed(host) for host in range(100)}) > 90


def test_each_key_counts_its_own_failures() -> None:
    backoff: Backoff[str] = Backoff(draw=lambda: 1.0)
    for _ in range(5):
        backoff.failed("keanu")

    assert backoff.failures("keanu") == 5
    assert backoff.failures("lufta") == 0
    assert backoff.failed("lufta") == 1.0


def test_a_key_that_is_forgotten_starts_again() -> None:
    backoff: Backoff[str] = Backoff(draw=lambda: 1.0)
    for _ in range(5):
        backoff.failed("keanu")

    backoff.forget("keanu")
    backoff.forget("never seen")

    assert backoff.failed("keanu") == 1.0


def test_a_base_that_changes_counts_from_then_on() -> None:
    bases = [60.0]
    backoff: Backoff[str] = Backoff(base=lambda: bases[-1], draw=lambda: 1.0)
    assert backoff.failed("keanu") == 60.0

    bases.append(2.0)

    assert backoff.failed("keanu") == 4.0
