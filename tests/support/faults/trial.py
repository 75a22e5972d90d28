"""
One trial: a sound host, a release, a fault, and what is promised thereafter.

    trial = Trial(rig)
    trial.push()
    trial.watch.begins("activate")
    with struck(rig, PowerCut()):
        …
    trial.check(Ends.NEW)
"""

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler.model import Attempt
from tests.support.faults.checker import (
    ALONE,
    PAUSE,
    Before,
    Ends,
    check_alone,
    check_boot_default,
    check_settled,
)
from tests.support.faults.injectors import FAULTS, Fault
from tests.support.faults.moments import Watch
from tests.support.faults.releases import HOST, Release, prepare, push
from tests.support.faults.survey import Survey, survey
from tests.support.fleet import Fleet
from tests.support.rig import Rig
from tests.support.wait import wait_until

PATIENT: Mapping[str, object] = {"settle": "1s", "confirm_timeout": "30s"}
"""Time enough to come back: what a good release is judged by."""

HASTY: Mapping[str, object] = {
    "settle": "1s",
    "confirm_timeout": "4s",
    "switch_timeout": "6s",
}
"""Bad releases are soon over."""

_names = itertools.count(1)


@contextlib.contextmanager
def faulty_rig(
    folder: Path, fleet: Fleet, policy: Mapping[str, object]
) -> Iterator[Rig]:
    """Yield a rig whose one host runs a first release."""
    with Rig(folder, fleet, policy=policy) as rig:
        prepare(rig)
        rig.only(HOST)
        rig.run_daemon()
        push(rig, "first")
        rig.wait_in_sync(HOST)
        yield rig


class Trial:
    """What is tried on a sound host."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.before = Before.of(rig)
        self.watch = Watch(rig)

    def push(self, nix: str = "", *options: str) -> Release:
        """Push a new release, broken by *nix* if that is given."""
        return push(self.rig, f"r{next(_names)}", nix, *options)

    def check(self, ends: Ends) -> list[Attempt]:
        """Check all promises; return the attempts that there were."""
        return check_settled(self.rig, self.before, ends)

    def check_alone(self) -> Survey:
        """Check what is promised where the reconciler stays away."""
        return check_alone(self.rig, self.before)

    def check_boot_default(self) -> None:
        """Check what is promised at any moment."""
        check_boot_default(self.rig, self.before)


@contextlib.contextmanager
def struck(rig: Rig, fault: Fault) -> Iterator[None]:
    """Strike; end the fault after the body."""
    fault.strike(rig)
    try:
        yield
    finally:
        fault.end(rig)


def mend(rig: Rig) -> None:
    """Make a rig sound, in whatever state the trial before has left it."""
    if _is_sound(rig):
        return
    for fault in FAULTS.values():
        fault.end(rig)
    push(rig, f"r{next(_names)}")
    wait_until(lambda: _is_sound(rig), ALONE, "the host to be sound", pause_s=PAUSE)


def _is_sound(rig: Rig) -> bool:
    if rig.daemon is None or not rig.status()[HOST]["in_sync"]:
        return False
    found = survey(rig.host(HOST))
    return not found.guarded and not found.whole()
