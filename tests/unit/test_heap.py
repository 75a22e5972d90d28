"""What is free goes back to the kernel, though something that stays lies behind it."""

import ctypes
from pathlib import Path

import pytest

from reconciler import heap

PIECE = 60_000  # bytes: a probe's answer; less than what the kernel is asked for alone
COUNT = 1500


def resident() -> int:
    """Return the bytes that this process takes."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    (found,) = (line for line in lines if line.startswith("Rss:"))
    return int(found.split()[1]) * 1024


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library"
)
def test_what_is_free_between_two_things_that_stay_is_given_back() -> None:
    pieces = [bytes([1]) * PIECE for _ in range(COUNT)]
    stay = pieces[::10]
    pieces.clear()
    before = resident()

    heap.trim()

    assert before - resident() > COUNT * PIECE // 2
    assert len(stay) == COUNT // 10
