"""
What counts of a host from before its switch: what was up, and what was broken.

A deployment answers for what it changes. A unit that was broken before, and whose files
are the same after, was not broken by it; nor was one that fails in the same way after,
whatever became of its files: a newer nixpkgs touches them all. Kept in history, so that
an attempt can be judged by another process than the one that began it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.errors import StateError
from reconciler.model import Desired, DesiredUnit, Observed, ObservedUnit, UnitName
from reconciler.plan.effects import RUNNING
from reconciler.plan.loaded import unit_of
from reconciler.plan.states import (
    GOOD_RESULTS,
    RETRYING,
    UNREADABLE,
    between_rounds,
    excused,
    judge_state,
    should_be_active,
)

FLAPPING = 600.0
"""Seconds since its last start: a unit that systemd restarted may yet die again."""

Files = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """One host before its switch, as far as the health gate must know."""

    boot_id: str
    active: frozenset[UnitName] = frozenset()  # of the units that are declared now
    broken: Mapping[UnitName, Files] = field(default_factory=dict)  # with their files
    failed: Mapping[UnitName, str] = field(default_factory=dict)  # of these: how
    snippets: frozenset[str] = frozenset()  # of the activation script, that fail

    @classmethod
    def of(cls, desired: Desired, observed: Observed) -> "Baseline":
        """Take what counts from a look at a host that is to become *desired*."""
        units = observed.units.items()
        current = observed.running == desired.toplevel
        broken = {
            name: have
            for name, have in units
            if _is_broken(
                unit_of(name, desired, have, current=current), have, observed.clock
            )
        }
        return cls(
            boot_id=observed.boot_id,
            active=frozenset(
                name
                for name, have in units
                if name in desired.units and have.active_state in RUNNING
            ),
            broken={name: files_of(have) for name, have in broken.items()},
            failed={name: how for name, have in broken.items() if (how := _how(have))},
        )

    @classmethod
    def from_json(cls, text: str) -> "Baseline":
        """Return what ``to_json`` was called on; StateError for any other text."""
        try:
            fields = json.loads(text)
            return cls(
                boot_id=fields["boot_id"],
                active=frozenset(map(UnitName, fields["active"])),
                broken={
                    UnitName(name): tuple(files)
                    for name, files in fields["broken"].items()
                },
                failed={
                    UnitName(name): str(how)
                    for name, how in fields.get("failed", {}).items()
                },
                snippets=frozenset(map(str, fields.get("snippets", ()))),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            message = f"what a host was before its switch cannot be read: {error!r}"
            raise StateError(message) from error

    def to_json(self) -> str:
        """Return all of it as text; equal baselines give equal texts."""
        fields = {
            "boot_id": self.boot_id,
            "active": sorted(self.active),
            "broken": {name: list(files) for name, files in self.broken.items()},
            "failed": dict(self.failed),
            "snippets": sorted(self.snippets),
        }
        return json.dumps(fields, sort_keys=True)

    def excuses(self, have: ObservedUnit) -> bool:
        """Return whether it was broken before, and is the same or fails the same."""
        files = self.broken.get(have.name)
        if files is None:
            return False
        how = self.failed.get(have.name)
        return files == files_of(have) or (how is not None and how == _how(have))

    def expects(self, want: DesiredUnit) -> DesiredUnit:
        """
        Return *want* as wanted if it was up before and may be counted on to stay so.

        A job that ran just then, or what a timer or socket starts, may not
        (``should_be_active``).
        """
        return replace(want, wanted=True) if want.name in self.active else want


def files_of(have: ObservedUnit) -> Files:
    """Return the files that a unit is made of, resolved: its identity."""
    return (have.fragment, *have.drop_in_files)


def _how(have: ObservedUnit) -> str:
    """Return in which way a unit has failed; nothing if it has not."""
    if have.load_state in UNREADABLE:
        return have.load_state
    if have.active_state != "failed" and have.sub_state not in RETRYING:
        return ""
    if have.result in GOOD_RESULTS:
        return ""
    return f"{have.result} {have.ended}".strip()


def _is_broken(want: DesiredUnit, have: ObservedUnit, clock: float) -> bool:
    """
    Return whether a unit does not do what it should.

    Also one that is on its way for who knows how long, and one that systemd restarted
    and that last started a moment ago: seen once, a unit that crashes every minute
    looks like any other.
    """
    if have.load_state == "not-found":
        return False
    finding = judge_state(want, have)
    if finding is not None and not finding.drift.lasting:
        return True
    if have.sub_state in RETRYING and not between_rounds(have):
        return True
    if have.restarts > 0 and clock - have.condition_at < FLAPPING:
        return True
    up = have.active_state in RUNNING
    return should_be_active(want) and not up and not excused(have)
