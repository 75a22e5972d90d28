"""
What `make test` tries, and what is left for `make faults`.

``make test`` has to be over soon; ``make faults`` sets ``SEARCH``, by which the usual
number is multiplied. A test that asks is marked with ``search``, so that it is found.
"""

import os
from collections.abc import Iterable

import pytest


def examples(usual: int) -> int:
    """Return how many examples to try, *usual* being enough for every day."""
    return usual * int(os.environ.get("SEARCH", "1"))


def tried(*chosen: str, among: Iterable[str]) -> list[object]:
    """Return the parameters *among* which `make test` tries the *chosen* only."""
    names = list(among)
    assert set(chosen) <= set(names), chosen
    left_out = pytest.mark.matrix
    return [
        pytest.param(name, id=name, marks=[] if name in chosen else left_out)
        for name in names
    ]
