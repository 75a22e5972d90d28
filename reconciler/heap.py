"""
The memory of a program of many threads that mostly wait, where the C library is glibc.

Elsewhere nothing is done, and nothing needs to be.
"""

import contextlib
import ctypes
import threading

TRIM_SECONDS = 60.0
"""How often what is free goes back to the kernel."""

M_ARENA_MAX = -8  # of <malloc.h>


def keep_small(stop: threading.Event) -> None:
    """
    Share one heap between all threads, and give back what is free until *stop*.

    Else each thread gets a heap of its own and keeps what it once took: mallopt(3). And
    what was free between two things that stay would stay as well: after a few looks at
    a thousand hosts, a hundred megabytes.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    threading.Thread(target=_run, args=(stop,), name="heap", daemon=True).start()


def trim() -> None:
    """Give back what is free: malloc_trim(3)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _run(stop: threading.Event) -> None:
    while not stop.wait(TRIM_SECONDS):
        trim()
