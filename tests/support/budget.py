"""
How many examples a search for counterexamples may try.

``make test`` has to be over soon; ``make faults`` sets ``SEARCH``, by which the usual
number is multiplied. A test that asks is marked with ``search``, so that it is found.
"""

import os


def examples(usual: int) -> int:
    """Return how many examples to try, *usual* being enough for every day."""
    return usual * int(os.environ.get("SEARCH", "1"))
