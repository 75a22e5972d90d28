"""Who is wrong too often waits; who is right does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.web.limiter import Limiter, source_of


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self.time


def limiter(clock: Clock, *, burst: int = 3, sources: int = 100) -> Limiter:
    return Limiter(clock, burst=burst, per_second=0.5, sources=sources)


def test_a_burst_is_borne_and_then_one_every_other_second() -> None:
    clock = Clock()
    limit = limiter(clock)
    assert [limit.take("a") for _ in range(5)] == [0.0, 0.0, 0.0, 2.0, 2.0]
    clock.time += 1
    assert limit.take("a") == 1.0
    clock.time += 1
    assert limit.take("a") == 0.0
    assert limit.take("a") == 2.0


def test_after_a_while_all_is_forgotten() -> None:
    clock = Clock()
    limit = limiter(clock)
    for _ in range(5):
        limit.take("a")
    clock.time += 1e9
    assert [limit.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]


def test_sources_do_not_share() -> None:
    limit = limiter(Clock())
    for _ in range(5):
        limit.take("a")
    assert limit.take("b") == 0.0


def test_what_is_given_back_costs_nothing() -> None:
    limit = limiter(Clock())
    for _ in range(100):
        assert limit.take("a") == 0.0
        limit.give_back("a")
    assert [limit.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]


def test_giving_back_is_no_way_to_more_than_a_burst() -> None:
    limit = limiter(Clock())
    for _ in range(10):
        limit.give_back("a")
    assert [limit.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]


def test_many_sources_cannot_push_out_one_that_is_limited() -> None:
    """An attacker with many addresses must not get rid of what is known of one."""
    clock = Clock()
    limit = limiter(clock, sources=10)
    for _ in range(5):
        limit.take("guesser")
    for number in range(1000):
        limit.take(f"other-{number}")
    assert limit.take("guesser") > 0


def test_more_sources_than_are_told_apart_share_what_is_left() -> None:
    clock = Clock()
    limit = limiter(clock, sources=2)
    waits = [limit.take(f"source-{number}") for number in range(8)]
    assert waits == [0.0] * 5 + [2.0] * 3
    clock.time += 60
    assert limit.take("source-99") == 0.0


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 5), st.booleans())),
    st.integers(1, 4),
)
def test_no_source_is_borne_more_often_than_it_may(
    requests: list[tuple[str, float, bool]], sources: int
) -> None:
    """Whatever the order; and memory stays bounded."""
    clock = Clock()
    limit = limiter(clock, burst=3, sources=sources)
    borne: dict[str, int] = {}
    for source, later, right in requests:
        clock.time += later
        if limit.take(source):
            continue
        if right:
            limit.give_back(source)
        else:
            borne[source] = borne.get(source, 0) + 1
    gone_by = clock.time - 1000.0
    for count in borne.values():
        assert count <= 3 + gone_by * 0.5 + 1


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "local"),
        ("testclient", "local"),
    ],
)
def test_whom_an_address_is_counted_for(address: str, source: str) -> None:
    assert source_of(address) == source
