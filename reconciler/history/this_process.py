"""What tells this process from every other one, on any machine."""

import functools
import os
import secrets


def process_id() -> str:
    """Return an id of this process that no other has, nor what it forks."""
    return _drawn(os.getpid())


@functools.cache
def _drawn(_process: int) -> str:
    return secrets.token_hex(4)
