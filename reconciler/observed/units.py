"""From ``systemctl show`` to units, by the names of systemd.directives(7). Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler.model import ObservedUnit, UnitName
from reconciler.observed.answer import Answer, AnswerError

MICRO = 1e-6
NOT_FOUND = "not-found"
CLD_EXITED = "1"  # of waitid(2): it ended by itself and no signal ended it
UNIT_DIRECTORIES = tuple(
    f"{root}/systemd/system" for root in ("/etc", "/run", "/usr/lib", "/lib")
)

# systemd.unit(5), "Unit names"; systemctl would mend anything else.
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')

_NAME = re.compile(
    r"[A-Za-z0-9:_.\\@-]+\."
    r"(service|socket|device|mount|automount|swap|target|path|timer|slice|scope)"
)


def is_unit_name(name: str) -> bool:
    """Whether systemd could know a unit or a template by that name."""
    return len(name) < 256 and _NAME.fullmatch(name) is not None  # noqa: PLR2004


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
    units: dict[UnitName, ObservedUnit] = {}
    aliases: dict[str, ObservedUnit] = {}
    for block in answer.units:
        unit = _read_unit(block, answer.resolved, booted_at)
        units[unit.name] = unit
        aliases |= dict.fromkeys(_words(block.get("Names", "")), unit)
    for name in asked:
        if name not in units:
            units[name] = _by_other_means(name, aliases, answer.resolved)
    return units


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


def _read_unit(
    block: Mapping[str, str], resolved: Mapping[str, str], booted_at: float
) -> ObservedUnit:
    fragment = block.get("FragmentPath", "")
    drop_ins = _words(block.get("DropInPaths", ""))
    condition_met, condition_at = _condition(block)
    return ObservedUnit(
        name=UnitName(_required(block, "Id")),
        load_state=_required(block, "LoadState"),
        active_state=_required(block, "ActiveState"),
        sub_state=block.get("SubState", ""),
        result=block.get("Result", ""),
        fragment=_resolved(fragment, resolved),
        fragment_path=fragment,
        drop_ins=drop_ins,
        drop_in_files=tuple(resolved.get(path, path) for path in drop_ins),
        condition_met=condition_met,
        condition_at=booted_at + condition_at if condition_at else 0.0,
        restarts=_number(block, "NRestarts"),
        finished=_finished(block),
        needs_reload=block.get("NeedDaemonReload") == "yes",
        invocation=block.get("InvocationID", ""),
        queued=block.get("Job", "0") not in ("", "0"),
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
    Return whether a service ended by itself, without error, and may stay ended.

    When somebody stops it, systemd leaves the active state first and the process ends
    after; when it ends by itself, it is the other way round (seen of systemd 252 and
    257). It may stay ended if it does not ask to be restarted, or if a socket, path
    or timer starts it when it is needed.
    """
    ended = _number(block, "ExecMainExitTimestampMonotonic")
    left = _number(block, "ActiveExitTimestampMonotonic")
    clean = block.get("ExecMainCode") == CLD_EXITED and block.get("Result") == "success"
    may_stay = block.get("Restart") == "no" or bool(block.get("TriggeredBy"))
    return clean and may_stay and 0 < ended <= left


def _words(value: str) -> tuple[str, ...]:
    """
    Split a list as systemctl show prints it.

    Words with special characters are in double quotes, with backslashes escaped:
    seen of systemd 252 and 257.
    """
    return tuple(
        re.sub(r"\\(.)", r"\1", quoted) or plain
        for quoted, plain in _WORD.findall(value)
    )


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
    message = f"{block.get('Id', 'a unit')} has a {name} that is no number: {value!r}"
    raise AnswerError(message)


def _resolved(path: str, resolved: Mapping[str, str]) -> str:
    if not path:
        return ""
    if path in resolved:
        return resolved[path]
    message = f"it does not say where {path} leads"
    raise AnswerError(message)
