"""Rings: the first is heard at once, and the last is never lost."""

import asyncio

from reconciler.web.webhooks import Doorbell

QUIET = 0.05


def heard(rings: int, *, gap: float = 0.0) -> tuple[int, int]:
    """Ring; return how often it was heard at once, and after all is quiet."""
    times = list[float]()

    async def ring() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        bell = Doorbell(lambda: times.append(loop.time()), quiet=QUIET)
        at_once = 0
        for _ in range(rings):
            at_once += bell.ring()
            if gap:
                await asyncio.sleep(gap)
        await asyncio.sleep(3 * QUIET)
        return at_once, len(times)

    return asyncio.run(ring())


def test_one_ring_is_heard_at_once_and_once() -> None:
    assert heard(1) == (1, 1)


def test_a_burst_is_heard_at_its_beginning_and_its_end() -> None:
    assert heard(1000) == (1, 2)


def test_after_a_while_it_is_heard_at_once_again() -> None:
    assert heard(2, gap=3 * QUIET) == (2, 2)
