"""
Change a host: keys, mend; and the guardian, which switches it.

Each function carries out one kind of step and raises when it did not work; the order
belongs to the loop.
"""

from reconciler.apply.gc_root import GC_ROOT, protect
from reconciler.apply.keys import (
    Delivered,
    Removed,
    deliver_keys,
    remove_keys,
)
from reconciler.apply.mend import MEND_STEPS, mend
from reconciler.apply.space import require_room

__all__ = [
    "GC_ROOT",
    "MEND_STEPS",
    "Delivered",
    "Removed",
    "deliver_keys",
    "mend",
    "protect",
    "remove_keys",
    "require_room",
]
