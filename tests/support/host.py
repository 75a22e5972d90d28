"""
A host in memory: what the real one answers, and nothing else.

It runs no shell. The probe's script is recognised by its text and answered from the
state; of what ``apply`` runs, the lines of ``mend_script``, the script of
the guardian and those for keys change the state as a host would. Anything else raises.
"""

import dataclasses
import re
import shlex
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from reconciler.apply.mend import PREAMBLE
from reconciler.apply.scripts import script as sent
from reconciler.attempt.reboot import BOOT_ID
from reconciler.attempt.reboot import COMMAND as REBOOT
from reconciler.errors import ConnectError, RemoteError
from reconciler.model import (
    HostName,
    ObservedUnit,
    StorePath,
    SystemParts,
    UnitName,
)
from reconciler.observed.units import UNIT_DIRECTORIES
from reconciler.remote import OnLine, RemoteResult, system_manager
from reconciler.world.driver import SIGN
from tests.support.host_keys import KEYS, REMOVE, FakeKeys

GUARD = sent("guard")
PROBE = resources.files("reconciler.observed").joinpath("probe.sh").read_text()
GENERATIONS = "\n".join(
    [
        system_manager.functions(),
        resources.files("reconciler.observed").joinpath("generations.sh").read_text(),
    ]
)
LEAVING = ("first-boot", "rolling-back")  # verb and phase of a guardian
BOOTED_AT = 1_700_000_000.0
LOADED_TYPES = (".service", ".socket", ".timer", ".path")
IGNORED = re.compile(
    r"PATH=.*|export PATH LC_ALL=C|exit 0|rmdir -- .*|systemctl daemon-reload"
)


class UnknownCommandError(AssertionError):
    """The fake does not know what a real host would do."""


@dataclass(slots=True, kw_only=True)
class FakeGuard:
    """The guardian of an attempt; see guardian.sh."""

    attempt: str
    new: StorePath
    old: StorePath
    units: dict[UnitName, ObservedUnit]  # as they were
    phase: str = "armed"
    status: str = "-"
    decision: str = "-"
    result: str = "-"
    log: list[str] = field(default_factory=list)
    verb: str = "start"

    def told(self, known: int = 0) -> str:
        """Return what guard.sh prints to who knows so many lines of the log."""
        unit = "inactive" if self.result != "-" else "active"
        words = (self.phase, self.status, self.decision, self.result, unit, self.verb)
        log = [line for text in self.log for line in text.split("\n")][known:]
        return "\n".join([*log, f"guardian {' '.join(words)}"]) + "\n"


@dataclass(slots=True, kw_only=True)
class FakeHost:
    """A HostWriter over a state that tests set and look at."""

    host: HostName
    running: StorePath | None = None
    booted: StorePath | None = None
    profile: StorePath | None = None
    units: dict[UnitName, ObservedUnit] = field(default_factory=dict)
    systems: dict[StorePath, Mapping[UnitName, ObservedUnit]] = field(
        default_factory=dict
    )  # toplevels that can be activated, and the units as they are then
    keys: FakeKeys = field(default_factory=FakeKeys)
    parts: SystemParts = field(default_factory=SystemParts)
    booted_parts: SystemParts | None = None  # None: the same
    boot_id: str = ""  # empty: one of its own
    machine_id: str = ""  # the same
    store_free: int = 1 << 30
    clock: float = BOOTED_AT + 3600.0
    switching: bool = False  # somebody holds the lock
    driver: str = ""  # the note of who drives it
    switch_status: int = 0  # what switch-to-configuration exits with
    switch_output: str = "activating"
    refuses: str = ""  # the result of a guardian whose system does not switch
    stuck: bool = False  # it cannot be taken back to what it ran
    generations: list[StorePath] = field(default_factory=list)  # empty: the profile
    guard: FakeGuard | None = None
    protected: StorePath | None = None  # from garbage collection
    protected_before: StorePath | None = None
    ground: str = "end\n"  # its users and file systems, as the script tells them
    failure: Exception | None = None  # raised by everything, if set
    log: list[str] = field(default_factory=list)  # what was done, by name

    def __post_init__(self) -> None:
        own = uuid.uuid5(uuid.NAMESPACE_DNS, self.host)
        self.boot_id = self.boot_id or str(own)
        self.machine_id = self.machine_id or own.hex

    def disconnect(self) -> None:
        """Let nobody reach it any more."""
        message = f"{self.host}: cannot connect: Connection refused"
        self.failure = ConnectError(message, host=self.host)

    def read(self, script: str, *, what: str, deadline: float) -> str:
        """Answer the probe, or about the journal; see HostReader."""
        self._reach(what, deadline)
        if what == "journal":
            (names,) = re.findall(r"^for unit in (.*); do$", script, re.MULTILINE)
            told = "".join(f"== {name}\n I am {name}\n" for name in names.split())
            return f"{told}== end\n"
        if script == BOOT_ID:
            return f"{self.boot_id}\n"
        fixed = {
            "closure": "absent\n",  # no machine in memory has a store
            "users, file systems": self.ground,
        }
        if what in fixed:
            return fixed[what]
        if what == "free space":
            return self._told_room(script)
        if script == GENERATIONS:
            return self._told_generations()
        header, found, rest = script.partition(PROBE)
        if not found or rest:
            message = f"the fake knows no script but the probe's: {script[:200]}"
            raise UnknownCommandError(message)
        limit, paths, names, own, renewed, *_ = header.splitlines()
        assert limit.startswith("limit="), limit
        (keys,) = shlex.split(paths.removeprefix("keys="))
        units = shlex.split(names.removeprefix("set --"))
        (secrets,) = shlex.split(own.removeprefix("secrets="))
        (links,) = shlex.split(renewed.removeprefix("renewed="))
        told = self.keys.answer_secrets(shlex.split(secrets), shlex.split(links))
        return self._answer(units, shlex.split(keys), [*told])

    def run(
        self,
        argv: Sequence[str],
        *,
        what: str,
        deadline: float,
        stdin: bytes | None = None,
        on_line: OnLine | None = None,
        check: bool = True,
    ) -> RemoteResult:
        """Mend, activate or deliver; see HostWriter."""
        self._reach(what, deadline)
        status, stdout = 0, self._do(tuple(argv), stdin or b"")
        if on_line is not None:
            for line in stdout.splitlines():
                on_line(line)
        if check and status:
            raise RemoteError(what, host=self.host, status=status, stderr="")
        return RemoteResult(status=status, stdout=stdout, stderr="", seconds=0.0)

    def _do(self, argv: tuple[str, ...], stdin: bytes) -> str:
        match argv:
            case ("sh", "-s"):
                return self._mend(stdin.decode())
            case ("sh", "-c", script, "guard", *words) if script == GUARD:
                return self._guarded(*words)
            case ("sh", "-c", script) if script == KEYS:
                return self.keys.deliver(stdin)
            case ("sh", "-c", script, "sh", *paths) if script == REMOVE:
                return self.keys.remove(paths)
        self._do_silently(argv)
        return ""

    def _do_silently(self, argv: tuple[str, ...]) -> None:
        match argv:
            case words if words == REBOOT:
                self.log.append("reboot")
                self.reboot()
            case ("sh", "-c", script, "sh", driver) if script == SIGN:
                self.driver = driver
            case ("ln", "-sfn", system, root) if root.startswith("/nix/var/nix/gcr"):
                before = root.endswith("-before")
                kept = self.protected
                self.protected = kept if before else StorePath(system)
                self.protected_before = StorePath(system) if before else None
            case _:
                message = f"the fake knows no command {argv!r}"
                raise UnknownCommandError(message)

    def _reach(self, what: str, deadline: float) -> None:
        assert deadline > 0, f"{what} has no time at all"
        if self.failure is not None:
            raise self.failure

    # --- the probe ---------------------------------------------------------------

    def _answer(
        self, asked: Sequence[str], keys: Sequence[str], secrets: Sequence[str]
    ) -> str:
        names = [UnitName(name) for name in asked if "@." not in name]
        loaded = [name for name in self.units if name.endswith(LOADED_TYPES)]
        # As systemctl does: what is asked for and loaded comes twice.
        blocks = [
            render_unit(self._unit(name))
            for name in (*names, *loaded)
            if "@." not in name
        ]
        links = self._links() | self._files()
        lines = [
            "== host",
            f"clock={self.clock:.9f}",
            f"uptime={self.clock - BOOTED_AT:.2f} 0.00",
            f"boot_id={self.boot_id}",
            f"machine_id={self.machine_id}",
            f"switching={'yes' if self.switching else ''}",
            f"driver={self.driver}",
            f"store_free={self.store_free} 1",
            "systemctl=0",
            "limit=24.000",
            "== units",
            "\n".join(blocks),
            "== paths",
            *links,
            "== resolved",
            *links.values(),
            *self.keys.answer(keys),
            *secrets,
            "== end",
        ]
        return "\n".join(lines) + "\n"

    def _unit(self, name: UnitName) -> ObservedUnit:
        unknown = ObservedUnit(
            name=name, load_state="not-found", active_state="inactive", sub_state="dead"
        )
        return self.units.get(name, unknown)

    def _links(self) -> dict[str, str]:
        links: dict[str, str] = {}
        if self.running is not None:
            links["/run/current-system"] = self.running
            links |= _part_links("/run/current-system", self.parts)
        if self.booted is not None:
            links["/run/booted-system"] = self.booted
            links |= _part_links("/run/booted-system", self.booted_parts or self.parts)
        if self.profile is not None:
            links["/nix/var/nix/profiles/system"] = self.profile
        return links

    def _files(self) -> dict[str, str]:
        files: dict[str, str] = {}
        for unit in self.units.values():
            if unit.fragment_path:
                files[unit.fragment_path] = unit.fragment
            files |= dict(zip(unit.drop_ins, unit.drop_in_files, strict=True))
            assert "@." not in unit.name or unit.fragment_path.startswith(
                UNIT_DIRECTORIES
            )
        return files

    # --- changes -----------------------------------------------------------------

    def _mend(self, script: str) -> str:
        lines = script.removeprefix(PREAMBLE).splitlines()
        for line in (one.removeprefix("patiently ") for one in lines if one):
            if not IGNORED.fullmatch(line):
                self._line(shlex.split(line.removesuffix(" 2>/dev/null")))
        return ""

    def _line(self, words: list[str]) -> None:
        match words:
            case ["rm", "-f", "--", file]:
                self._remove(file)
            case ["timeout", _, "systemctl", verb, "--", *units]:
                self._systemctl(verb, units)
            case ["systemctl", verb, "--", *units]:
                self._systemctl(verb, units)
            case _:
                message = f"the fake knows no line {words!r}"
                raise UnknownCommandError(message)

    def _systemctl(self, verb: str, names: Sequence[str]) -> None:
        changes: dict[str, Callable[[ObservedUnit], ObservedUnit]] = {
            "start": started,
            "restart": started,
            "stop": stopped,
            "reset-failed": reset,
        }
        if verb not in changes:
            message = f"the fake knows no systemctl {verb}"
            raise UnknownCommandError(message)
        for name in map(UnitName, names):
            if verb != "reset-failed":
                self.log.append(f"{verb} {name}")
            if name in self.units:
                self.units[name] = changes[verb](self.units[name])

    def _remove(self, file: str) -> None:
        """Remove a file that masks or overrides a unit; what the system has returns."""
        self.log.append(f"rm {file}")
        for name, unit in list(self.units.items()):
            if file == unit.fragment_path:
                self.units[name] = self._as_deployed(unit)
            elif file in unit.drop_ins:
                kept = [
                    pair
                    for pair in zip(unit.drop_ins, unit.drop_in_files, strict=True)
                    if pair[0] != file
                ]
                self.units[name] = dataclasses.replace(
                    unit,
                    drop_ins=tuple(path for path, _ in kept),
                    drop_in_files=tuple(end for _, end in kept),
                )

    def _as_deployed(self, unit: ObservedUnit) -> ObservedUnit:
        system = self.systems.get(self.running, {}) if self.running else {}
        deployed = system.get(unit.name)
        if deployed is None:
            return dataclasses.replace(
                unit, load_state="not-found", fragment="", fragment_path=""
            )
        return dataclasses.replace(
            unit,
            load_state=deployed.load_state,
            fragment=deployed.fragment,
            fragment_path=deployed.fragment_path,
        )

    # --- the guardian ------------------------------------------------------------

    def _guarded(
        self, verb: str, attempt: str, wait: str, known: str, *words: str
    ) -> str:
        mine = self.guard is not None and self.guard.attempt == attempt
        if verb == "bury" and not mine:
            return "guardian - - - not-started inactive -\n"
        if not mine:
            self._begin(verb, attempt, words)
        self._go_down()
        guard = self.guard
        if guard is None or guard.attempt != attempt:
            return "guardian gone - - - - -\n"
        match verb:
            case "start" | "go" if guard.phase == "armed" and wait != "later":
                self._guarded_switch(guard)
            case "boot" if guard.result == "-":
                self._decided(guard, "confirmed")
            case "confirmed" | "rollback" if guard.result == "-":
                self._decided(guard, verb)
        return guard.told(int(known))

    def _begin(self, verb: str, attempt: str, words: Sequence[str]) -> None:
        if verb == "first-boot" and words[0] == self.boot_id:
            self._first_boot(attempt, *map(StorePath, words[2:5:2]))
        elif verb in ("start", "boot"):
            new, _, old = map(StorePath, words[1:4])
            units = dict(self.units)
            self.guard = FakeGuard(attempt=attempt, new=new, old=old, units=units)

    def _go_down(self) -> None:
        """Leave what was booted into, once that has been told."""
        if self.guard and (self.guard.verb, self.guard.phase) == LEAVING:
            self.reboot()

    def _guarded_switch(self, guard: FakeGuard) -> None:
        if self.refuses:
            guard.result = self.refuses
            return
        status = self._activate(guard.new) if guard.new in self.systems else 127
        guard.phase, guard.status = "waiting", str(status)
        guard.log.append(self.switch_output)
        if status in {0, 2, 4}:
            return
        if "Could not acquire lock" in self.switch_output:
            guard.result = "locked"
        else:
            self._decided(guard, "failed")

    def _first_boot(self, attempt: str, new: StorePath, old: StorePath) -> None:
        """Boot what is not the boot default, under watch; or refuse that as well."""
        guard = FakeGuard(attempt=attempt, new=new, old=old, units={}, verb=LEAVING[0])
        if self.refuses == "not-booted":
            guard.result = self.refuses
        else:
            default, self.profile = self.profile, new
            self.reboot()
            self.profile, guard.phase, guard.status = default, "waiting", "0"
        self.guard = guard

    def expire(self) -> None:
        """Let the guardian that waits have waited too long."""
        assert self.guard is not None
        if self.guard.result == "-":
            self._decided(self.guard, "expired")

    def _decided(self, guard: FakeGuard, decision: str) -> None:
        guard.decision = decision
        if decision == "confirmed":
            self._boot(guard.new)
            guard.result = "confirmed"
            return
        self.log.append(f"roll back to {guard.old}")
        if guard.verb == LEAVING[0]:
            guard.phase = LEAVING[1]
            return
        if self.stuck:
            guard.result = "rollback-failed"
            return
        self.running, self.units = guard.old, guard.units
        guard.result = "rolled-back"

    def _told_room(self, script: str) -> str:
        """Return what space.sh prints."""
        _, _, rest = script.partition("<<'PATHS' || exit 1\n")
        closure, _, _ = rest.partition("\nPATHS\n")
        lacking = [path for path in closure.splitlines() if path not in self.systems]
        return "\n".join([*lacking, f"free {self.store_free} 1"]) + "\n"

    def _boot(self, system: StorePath) -> None:
        """Make it a new generation, as ``nix-env --set`` does."""
        self.log.append(f"boot {system}")
        if self.profile != system:
            self.generations = [*self._made(), system]
        self.profile = system

    def _made(self) -> list[StorePath]:
        return self.generations or ([self.profile] if self.profile else [])

    def _told_generations(self) -> str:
        """Return what generations.sh prints."""
        made = self._made()
        lines = [
            f"{number} {self.clock:.0f} {system} 24.05.{number}"
            for number, system in enumerate(made, 1)
        ]
        default = max(
            (n for n, s in enumerate(made, 1) if s == self.profile), default=""
        )
        lines += [
            f"is running {self.running or ''}",
            f"is booted {self.booted or ''}",
            f"is default {default}",
            "end",
        ]
        return "\n".join(lines) + "\n"

    def reboot(self) -> None:
        """Boot what is the boot default; nothing in memory lives through it."""
        self.guard, self.boot_id = None, f"{self.boot_id}+"
        self.running = self.booted = self.profile
        self.booted_parts = None
        self.keys.reboot()
        self.units = dict(self.systems.get(self.profile, {})) if self.profile else {}

    def _activate(self, system: StorePath) -> int:
        self.log.append(f"activate {system}")
        if self.switch_status in (0, 4):
            self.running = system
            gone = {
                name: unit
                for name, unit in self.units.items()
                if unit.fragment.startswith("/nix/store/")
            }
            kept = {n: u for n, u in self.units.items() if n not in gone}
            self.units = kept | dict(self.systems[system])
        return self.switch_status


def started(unit: ObservedUnit) -> ObservedUnit:
    """Return *unit* as ``systemctl start`` leaves it."""
    if unit.load_state != "loaded":
        return unit
    return dataclasses.replace(
        unit, active_state="active", sub_state="running", result="success"
    )


def stopped(unit: ObservedUnit) -> ObservedUnit:
    """Return *unit* as ``systemctl stop`` leaves it."""
    return dataclasses.replace(
        unit, active_state="inactive", sub_state="dead", result="success"
    )


def reset(unit: ObservedUnit) -> ObservedUnit:
    """Return *unit* as ``systemctl reset-failed`` leaves it."""
    return stopped(unit) if unit.active_state == "failed" else unit


def render_unit(unit: ObservedUnit) -> str:
    """Return *unit* as ``systemctl show`` prints it."""
    checked = max(0, round((unit.condition_at - BOOTED_AT) * 1_000_000))
    lines = {
        "Id": unit.name,
        "Names": _words([unit.name]),
        "LoadState": unit.load_state,
        "ActiveState": unit.active_state,
        "SubState": unit.sub_state,
        "Result": unit.result,
        "FragmentPath": unit.fragment_path,
        "DropInPaths": _words(unit.drop_ins),
        "NeedDaemonReload": "yes" if unit.needs_reload else "no",
        "NRestarts": str(unit.restarts),
        "InvocationID": unit.invocation,
        "Job": "7" if unit.queued else "",
        "Restart": "no",
        "TriggeredBy": "",
        "ExecMainCode": "1" if unit.finished else "0",
        "ExecMainStatus": "0",
        "ExecMainExitTimestampMonotonic": "1000" if unit.finished else "0",
        "ActiveExitTimestampMonotonic": "1001" if unit.finished else "0",
        "ConditionResult": "yes" if checked and unit.condition_met else "no",
        "ConditionTimestampMonotonic": str(checked if unit.condition_at else 0),
        "AssertResult": "yes" if checked else "no",
        "AssertTimestampMonotonic": str(checked if unit.condition_at else 0),
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


def _words(words: Sequence[str]) -> str:
    """Quote as systemd 252 does."""
    return " ".join(
        '"{}"'.format(word.replace("\\", "\\\\"))
        if "\\" in word or " " in word
        else word
        for word in words
    )


def _part_links(system: str, parts: SystemParts) -> dict[str, str]:
    ends = {
        "kernel": parts.kernel,
        "initrd": parts.initrd,
        "kernel-modules": parts.modules,
        "systemd": parts.systemd,
    }
    return {f"{system}/{name}": end for name, end in ends.items() if end}
