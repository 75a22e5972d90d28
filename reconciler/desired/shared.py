"""
Units that several hosts have, once for all of them.

Most units of a fleet are the same file of the store on each of its hosts. Kept apart, a
thousand hosts of a few hundred units each would take a hundred megabytes.
"""

import threading
import weakref
from collections.abc import Iterable, Mapping

from reconciler.model import DesiredUnit, UnitName

_lock = threading.Lock()
_known: weakref.WeakKeyDictionary[DesiredUnit, weakref.ref[DesiredUnit]]
_known = weakref.WeakKeyDictionary()


def shared(units: Iterable[DesiredUnit]) -> Mapping[UnitName, DesiredUnit]:
    """Return *units* by name: of those that anybody has already, the very same."""
    with _lock:
        found = [_the_same(unit) for unit in units]
    return {unit.name: unit for unit in found}


def _the_same(unit: DesiredUnit) -> DesiredUnit:
    known = _known.get(unit)
    same = known() if known is not None else None
    if same is None:
        _known[unit] = weakref.ref(unit)
        return unit
    return same
