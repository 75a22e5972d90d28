"""Rings: the first is heard at once, and the last is never lost."""

import asyncio

from reconciler.web.webhooks import Doorbell

QUIET = 5.0


class Loop(asyncio.SelectorEventLoop):
    """An event loop for which time goes by at a word."""

    now = 0.0

    def time(self) -> float:
        """Return the seconds that went by."""
        return self.now

    async def let_pass(self, seconds: float) -> None:
        """Let time go by, and what was to happen in it happen."""
        over = asyncio.Event()
        self.call_later(seconds, over.set)
        self.now += seconds
        await over.wait()


def heard(rings: int, *, gap: float = 0.0) -> tuple[int, int]:
    """Ring; return how often it was heard at once, and after all is quiet."""
    loop, times = Loop(), list[float]()

    async def ring() -> tuple[int, int]:
        bell = Doorbell(lambda: times.append(loop.time()), quiet=QUIET)
        at_once = 0
        for _ in range(rings):
            at_once += bell.ring()
            if gap:
                await loop.let_pass(gap)
        await loop.let_pass(3 * QUIET)
        return at_once, len(times)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(ring())


def test_one_ring_is_heard_at_once_and_once() -> None:
    assert heard(1) == (1, 1)


def test_a_burst_is_heard_at_its_beginning_and_its_end() -> None:
    assert heard(1000) == (1, 2)


def test_after_a_while_it_is_heard_at_once_again() -> None:
    assert heard(2, gap=3 * QUIET) == (2, 2)
