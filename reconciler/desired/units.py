"""
The unit files of a host as Nix tells of them, and what a plan wants to know of each.

A declaration holds the chosen lines of a unit file (``nix/facts.nix``), which are read
here by the rules of systemd.syntax(7) and systemd.unit(5).
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.desired.boot import Graph, Links, pulled_in
from reconciler.desired.names import Names, template_of, trigger_default
from reconciler.model import DesiredUnit, StorePath, UnitName, is_unit_name

PULLING = ("Wants", "Requires", "BindsTo", "Upholds")
"""Directives of [Unit] that start the named units along with their own."""

_TRUE = frozenset({"1", "yes", "y", "true", "t", "on"})  # systemd's parse_boolean

_TRIGGERS = {  # suffix of a unit that starts another -> where it says which
    "timer": ("Timer", "Unit"),
    "path": ("Path", "Unit"),
    "socket": ("Socket", "Service"),
    "automount": ("Automount", "Unit"),  # has no such directive: always its namesake
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One unit of ``config.systemd.units``."""

    name: str
    path: str | None  # of the unit file; None: masked
    directives: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    wanted_by: tuple[str, ...] = ()
    required_by: tuple[str, ...] = ()
    upheld_by: tuple[str, ...] = ()

    def text(self, section: str, key: str) -> str:
        """Return the last assignment of a directive, or nothing."""
        values = self.directives.get((section, key), ())
        return values[-1] if values else ""

    def words(self, section: str, key: str) -> tuple[str, ...]:
        """Return what all assignments of a directive list."""
        values = self.directives.get((section, key), ())
        return tuple(word.strip("\"'") for value in values for word in value.split())

    def flag(self, section: str, key: str, *, default: bool = False) -> bool:
        """Return the last assignment of a boolean directive."""
        value = self.text(section, key)
        return value.lower() in _TRUE if value else default


def directives_of(lines: Sequence[str]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the assignments in the *lines* of a unit file by section and key."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    section = ""
    for line in map(str.strip, lines):
        if line.startswith("["):
            section = line.strip("[]")
            continue
        key, _, value = line.partition("=")
        place = (section, key.strip())
        found[place] = (*found.get(place, ()), value.strip())
    return found


def desired_units(
    declarations: Sequence[Declaration], *, default_unit: str
) -> dict[UnitName, DesiredUnit]:
    """
    Return what a plan must know of the declared units.

    *default_unit* is what ``default.target`` stands for. An instance of a declared
    template that is pulled in at boot is listed like a declared unit: its file is the
    template's. A file that is no unit (``x.service.d/y.conf``) is part of one, and has
    no state of its own.
    """
    declarations = [unit for unit in declarations if is_unit_name(unit.name)]
    units = _Units(declarations)
    wanted = pulled_in(units.graph(), default_unit=default_unit)
    triggered = units.triggered(wanted)
    names = {*units.declared, *(name for name in wanted if units.names.has(name))}
    return {
        UnitName(name): units.unit(
            name, wanted=name in wanted, triggered=name in triggered
        )
        for name in sorted(names)
    }


class _Units:
    """The declared units, with what templates lend to their instances."""

    def __init__(self, declarations: Sequence[Declaration]) -> None:
        self.declared = {unit.name: unit for unit in declarations}
        self.names = Names(
            declared=self.declared,
            aliases={alias: u.name for u in declarations for alias in u.aliases},
        )

    def unit(self, name: str, *, wanted: bool, triggered: bool) -> DesiredUnit:
        sources = self._sources(name)
        own = sources[0]
        kind = next((t for s in sources if (t := s.text("Service", "Type"))), "")
        return DesiredUnit(
            name=UnitName(name),
            path=None if own.path is None else StorePath(own.path),
            wanted=wanted,
            type=kind,
            remain_after_exit=_any(sources, "Service", "RemainAfterExit"),
            triggered=triggered,
            restart_if_changed=_all(sources, "Service", "X-RestartIfChanged"),
            reload_if_changed=_any(sources, "Service", "X-ReloadIfChanged"),
            stop_if_changed=_all(sources, "Service", "X-StopIfChanged"),
            only_manual=any(
                _any(sources, "Unit", key)
                for key in (
                    "RefuseManualStart",
                    "RefuseManualStop",
                    "X-OnlyManualStart",
                )
            ),
        )

    def graph(self) -> Graph:
        """Return what starts what, for the closure of the boot targets."""
        links: Links = {}
        for unit in self.declared.values():
            for parent in (*unit.wanted_by, *unit.required_by, *unit.upheld_by):
                links.setdefault(self.names.canonical(parent), set()).add(unit.name)
        return Graph(
            names=self.names,
            links=links,
            pulls=lambda name: set(self._pulls(name)),
            masked=self._is_masked,
        )

    def triggered(self, wanted: Container[str]) -> set[str]:
        """
        Return the units that run when something else calls for them.

        What a timer, path or automount starts comes and goes, even if a boot target
        starts it too. What a socket or the bus may start is expected to run all the
        same if it is *wanted* at boot.
        """
        jobs = self._started_by("timer", "path", "automount")
        on_demand = self._started_by("socket") | {
            name for name, unit in self.declared.items() if _is_on_bus(unit)
        }
        return jobs | {name for name in on_demand if name not in wanted}

    def _started_by(self, *suffixes: str) -> set[str]:
        return {
            self.names.expanded(target, of=unit.name)
            for unit in self.declared.values()
            if unit.path is not None and unit.name.rpartition(".")[2] in suffixes
            for target in _triggers(unit)
        }

    def _pulls(self, name: str) -> Iterator[str]:
        for source in self._sources(name):
            for word in _pulled_words(source):
                yield self.names.expanded(word, of=name)

    def _is_masked(self, name: str) -> bool:
        sources = self._sources(name)
        return bool(sources) and sources[0].path is None

    def _sources(self, name: str) -> tuple[Declaration, ...]:
        """Return the declarations that make up *name*: its own, then its template's."""
        found = (name, template_of(name))
        return tuple(self.declared[n] for n in found if n in self.declared)


def _pulled_words(unit: Declaration) -> Iterator[str]:
    for key in PULLING:
        yield from unit.words("Unit", key)
    # systemd.service(5): both add a dependency of their own.
    yield from unit.words("Service", "Sockets")
    if _is_on_bus(unit):
        yield "dbus.socket"


def _triggers(unit: Declaration) -> tuple[str, ...]:
    place = _TRIGGERS.get(unit.name.rpartition(".")[2])
    if place is None:
        return ()
    if unit.name.endswith(".socket") and unit.flag("Socket", "Accept"):
        return ()  # one instance per connection, which no plan counts on
    return unit.words(*place) or (trigger_default(unit.name),)


def _is_on_bus(unit: Declaration) -> bool:
    return bool(unit.text("Service", "BusName")) or (
        unit.text("Service", "Type") == "dbus"
    )


def _any(units: Sequence[Declaration], section: str, key: str) -> bool:
    return any(unit.flag(section, key) for unit in units)


def _all(units: Sequence[Declaration], section: str, key: str) -> bool:
    return all(unit.flag(section, key, default=True) for unit in units)
