"""From ``systemctl show`` to units, by the names of systemd.directives(7). Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.model import ObservedUnit, UnitName, is_unit_name
from reconciler.observed.answer import Answer, AnswerError
from reconciler.observed.links import Links
from reconciler.observed.words import words

MICRO = 1e-6
NOT_FOUND = "not-found"
CLD_EXITED = "1"  # of waitid(2): it ended by itself and no signal ended it
TARGET = ".target"
UNIT_DIRECTORIES = tuple(
    f"{root}/systemd/system" for root in ("/etc", "/run", "/usr/lib", "/lib")
)

GOES_ON = frozenset({"always", "on-success"})
"""Values of Restart= with which a service is to run that has ended well."""


SHUTDOWN = "shutdown.target"


def is_template(name: str) -> bool:
    """Whether *name* is that of a template: ``getty@.service``."""
    return "@." in name


def read_units(
    answer: Answer, asked: Iterable[UnitName], *, booted_at: float
) -> dict[UnitName, ObservedUnit]:
    """
    Return the units of *answer* by name; raises AnswerError.

    An asked name that is an alias stands beside the unit's own name. Templates are
    told by their files. *booted_at* is when the host's monotonic clock was 0.
    """
    reading = _Reading(
        resolved=answer.resolved, booted_at=booted_at, links=Links.of(answer.units)
    )
    asked = frozenset(asked)
    units: dict[UnitName, ObservedUnit] = {}
    aliases: dict[str, ObservedUnit] = {}
    for block in answer.units:
        unit = reading.unit(block)
        names = words(block.get("Names", ""))
        # Targets are told for what they pull in; those not asked about do not count,
        # but for the one that ends all units.
        counts = unit.name in asked or not unit.name.endswith(TARGET)
        if counts or (unit.name == SHUTDOWN and unit.queued):
            units[unit.name] = unit
        aliases |= dict.fromkeys(names, unit)
    for name in asked:
        if name not in units:
            units[name] = _by_other_means(name, aliases, answer.resolved)
    return units


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What the properties of one unit are read with."""

    resolved: Mapping[str, str]
    booted_at: float
    links: Links

    def unit(self, block: Mapping[str, str]) -> ObservedUnit:
        """Return the unit of one block; raises AnswerError."""
        name = UnitName(_required(block, "Id"))
        fragment = block.get("FragmentPath", "")
        drop_ins = words(block.get("DropInPaths", ""))
        condition_met, condition_at = _condition(block)
        return ObservedUnit(
            name=name,
            load_state=_required(block, "LoadState"),
            active_state=_required(block, "ActiveState"),
            sub_state=block.get("SubState", ""),
            result=block.get("Result", ""),
            fragment=_resolved(fragment, self.resolved),
            fragment_path=fragment,
            drop_ins=drop_ins,
            drop_in_files=tuple(self.resolved.get(path, path) for path in drop_ins),
            condition_met=condition_met,
            condition_at=self._when(condition_at),
            restarts=_number(block, "NRestarts"),
            finished=_finished(block),
            needs_reload=_flag(block, "NeedDaemonReload"),
            invocation=block.get("InvocationID", ""),
            queued=block.get("Job", "0") not in ("", "0"),
            type=block.get("Type", "") if name.endswith(".service") else "",
            remain_after_exit=_flag(block, "RemainAfterExit"),
            ended=_ended(block),
            restart=block.get("Restart", ""),
            triggered_by=words(block.get("TriggeredBy", "")),
            on_bus=bool(block.get("BusName")),
            only_manual=_flag(block, "RefuseManualStart"),
            wanted=name in self.links.wanted,
            displaced=name in self.links.displaced,
            beneath=self._beneath(block),
            began_at=self._at(block, "InactiveExitTimestampMonotonic"),
            left_at=self._at(block, "ActiveExitTimestampMonotonic"),
            active_at=self._at(block, "ActiveEnterTimestampMonotonic"),
        )

    def _beneath(self, block: Mapping[str, str]) -> str:
        """Return what the system has of a unit that somebody masked."""
        if block.get("LoadState") != "masked":
            return ""
        found = self.resolved.get(f"{UNIT_DIRECTORIES[0]}/{block['Id']}", "")
        return "" if found == "/dev/null" else found

    def _at(self, block: Mapping[str, str], name: str) -> float:
        return self._when(_number(block, name) * MICRO)

    def _when(self, seconds: float) -> float:
        """Return *seconds* of the monotonic clock as time of day; 0 for never."""
        return self.booted_at + seconds if seconds else 0.0


def _by_other_means(
    name: UnitName, aliases: Mapping[str, ObservedUnit], resolved: Mapping[str, str]
) -> ObservedUnit:
    """Return the unit of a name that is no unit's Id."""
    if name in aliases:
        return replace(aliases[name], name=name)
    if not is_unit_name(name):
        return ObservedUnit(name=name, load_state=NOT_FOUND, active_state="inactive")
    if is_template(name):
        return _read_template(name, resolved)
    message = f"it says nothing about {name}"
    raise AnswerError(message)


def _read_template(name: UnitName, resolved: Mapping[str, str]) -> ObservedUnit:
    paths = (f"{directory}/{name}" for directory in UNIT_DIRECTORIES)
    path = next((path for path in paths if path in resolved), "")
    fragment = resolved.get(path, "")
    state = "masked" if fragment == "/dev/null" else "loaded"
    return ObservedUnit(
        name=name,
        load_state=state if fragment else NOT_FOUND,
        active_state="inactive",
        fragment=fragment,
        fragment_path=path,
    )


def _condition(block: Mapping[str, str]) -> tuple[bool, float]:
    """
    Return whether what was checked at the last start was met, and when that was.

    A unit that was never started says ``no`` as well, with a time of 0. Seconds of
    the host's monotonic clock.
    """
    times = {
        kind: _number(block, f"{kind}TimestampMonotonic") * MICRO
        for kind in ("Condition", "Assert")
    }
    met = all(
        block.get(f"{kind}Result") != "no" for kind, time in times.items() if time > 0
    )
    return met, max(times.values())


def _finished(block: Mapping[str, str]) -> bool:
    """
    Return whether a unit ended by itself, without error, and may stay ended.

    When somebody stops a service, systemd leaves the active state first and the process
    ends after; when it ends by itself, it is the other way round (seen of systemd 252
    and 257). It may stay ended unless it asks to go on: see `_goes_on`. One that
    remains when its process has exited is stopped by others only.

    A timer with RemainAfterElapse=no is gone once it has elapsed, and systemd keeps
    nothing that would tell it from one that somebody stopped.
    """
    if block.get("RemainAfterElapse") == "no":
        return block.get("Result") == "success"
    if _flag(block, "RemainAfterExit"):
        return False
    ended = _number(block, "ExecMainExitTimestampMonotonic")
    left = _number(block, "ActiveExitTimestampMonotonic")
    clean = block.get("ExecMainCode") == CLD_EXITED and block.get("Result") == "success"
    return clean and not _goes_on(block) and 0 < ended <= left


def _ended(block: Mapping[str, str]) -> str:
    """Return ExecMainCode and ExecMainStatus; nothing while it runs, or never did."""
    code = block.get("ExecMainCode", "0")
    return "" if code == "0" else f"{code} {block.get('ExecMainStatus', '')}".strip()


def _goes_on(block: Mapping[str, str]) -> bool:
    """
    Return whether a service that ended well is to be started again.

    By the table of Restart= in systemd.service(5): the other values are about services
    that did not end well. RestartPreventExitStatus= lists statuses after which it stays
    ended all the same, and signals, which no status is.
    """
    prevented = words(block.get("RestartPreventExitStatus", ""))
    if block.get("ExecMainStatus") in prevented:
        return False
    return block.get("Restart") in GOES_ON


def _flag(block: Mapping[str, str], name: str) -> bool:
    return block.get(name) == "yes"


def _required(block: Mapping[str, str], name: str) -> str:
    if value := block.get(name):
        return value
    message = f"{block.get('Id', 'a unit')} has no {name}"
    raise AnswerError(message)


def _number(block: Mapping[str, str], name: str) -> int:
    """Return a count; units of some types have none, and it may be unset."""
    value = block.get(name, "")
    if not value or value == "[not set]":
        return 0
    if value.isascii() and value.isdigit() and len(value) <= 20:  # noqa: PLR2004 - 64 bits
        return int(value)
    message = (
        f"{block.get('Id', 'a unit')} has a {name} that is no number: {value[:80]!r}"
    )
    raise AnswerError(message)


def _resolved(path: str, resolved: Mapping[str, str]) -> str:
    if not path:
        return ""
    if path in resolved:
        return resolved[path]
    message = f"it does not say where {path} leads"
    raise AnswerError(message)
