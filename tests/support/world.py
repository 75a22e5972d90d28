"""
Stand-ins for the adapters that a pass uses, and strict about how they are used.

They have the public methods of the real classes (``tests/scenario/test_fakes.py`` sees
to that) over a state that tests set and look at. A commit here is nothing but which
services and keys each host has, and in which version; store paths follow from that, so
equal content has equal paths, as in Nix.
"""

import contextlib
import dataclasses
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from typing_extensions import override

from reconciler.desired import Heard
from reconciler.desired.build import Way
from reconciler.desired.nix import hear_nothing
from reconciler.errors import (
    ConnectError,
    NoAddressError,
    ReconcilerError,
    SourceError,
    UnknownCommitError,
)
from reconciler.model import (
    Base,
    Commit,
    CommitId,
    Desired,
    DesiredKey,
    DesiredSecret,
    DesiredUnit,
    HostName,
    KeyOrigin,
    ObservedUnit,
    StorePath,
    Target,
    UnitName,
)
from reconciler.remote import (
    Hear,
    HostReader,
    HostWriter,
    OnLine,
    RemoteResult,
)
from reconciler.remote.copying import copy_closure, try_copying
from reconciler.settings import HostSettings
from reconciler.source import Flaw
from tests.support.host import BOOTED_AT, FakeHost

Services = Mapping[str, str]  # the version of each, by the name of its unit
Hosts = Mapping[str, Services | ReconcilerError]  # an error: Nix cannot evaluate it
Content = Hosts | ReconcilerError  # an error: Nix cannot even tell the hosts

KEYS = "/run/keys/"
"""What begins so among the services of a host is no service but the path of a key."""

FIRST = StorePath("/nix/store/00000000000000000000000000000000-nixos-system-first")
FAILED = {"active_state": "failed", "sub_state": "failed", "result": "exit-code"}


def do_nothing() -> None:
    """Do nothing: what a hook does unless a test sets it."""


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = BOOTED_AT + 3600.0

    def __call__(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self.time

    def advance(self, seconds: float) -> None:
        """Let *seconds* go by."""
        self.time += seconds


# --- what commits say ------------------------------------------------------------


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]


def toplevel_of(host: str, services: Services) -> StorePath:
    """Return the system with *services*."""
    digest = _digest(host, json.dumps(services, sort_keys=True))
    return StorePath(f"/nix/store/{digest}-nixos-system-{host}")


def unit_path(name: str, version: str) -> StorePath:
    """Return the unit file of a service in one version."""
    return StorePath(f"/nix/store/{_digest(name, version)}-unit-{name}/{name}")


def address_of(host: str) -> str:
    """Return where the commits say that *host* is."""
    return f"{host}.example"


def desired_of(host: str, services: Services, derivation: Path) -> Desired:
    """Return the desired state of a host with *services*."""
    units = [
        DesiredUnit(
            name=UnitName(name),
            path=unit_path(name, version),
            wanted=True,
            type="simple",
        )
        for name, version in services.items()
        if not name.startswith(KEYS)
    ]
    keys = [path.removeprefix(KEYS) for path in services if path.startswith(KEYS)]
    return Desired(
        host=HostName(host),
        toplevel=toplevel_of(host, services),
        derivation=StorePath(str(derivation)),
        units={unit.name: unit for unit in units},
        target=Target(address=address_of(host)),
        address_from="deployment.targetHost",
        tags=("home",),
        keys={
            name: DesiredKey(name=name, path=KEYS + name, origin=KeyOrigin.TEXT)
            for name in keys
        },
    )


def observed_unit(name: str, version: str) -> ObservedUnit:
    """Return a service as a switch leaves it: active, from its own file."""
    return ObservedUnit(
        name=UnitName(name),
        load_state="loaded",
        active_state="active",
        sub_state="running",
        result="success",
        fragment=unit_path(name, version),
        fragment_path=f"/etc/systemd/system/{name}",
        condition_at=BOOTED_AT + 60.0,
    )


# --- the repository --------------------------------------------------------------


class FakeMirror:
    """A Mirror whose repository is a list of commits; see there."""

    def __init__(self, folder: Path) -> None:
        self.commits: list[Commit] = []  # the last one is the head
        self.content: dict[str, Content] = {}  # by tree
        self.away = ""  # why the repository cannot be read, if it cannot
        self.unreached: Callable[[], str] = str  # why no network leads to it
        self.fetched: Commit | None = None  # what the mirror itself has
        self.checkouts: set[CommitId] = set()
        self.fallback = ""
        self.flaws: dict[CommitId, str] = {}  # why commits are not well signed
        self._held: Counter[CommitId] = Counter()
        self._lock = threading.Lock()
        self.before_fetch: Callable[[], None] = do_nothing
        self._folder = folder

    def unanswered(self, seconds: float) -> str:
        """See Mirror."""
        del seconds
        return self.unreached()

    def push(self, content: Content, subject: str) -> Commit:
        """Add a commit; equal content has an equal tree."""
        tree = _digest("tree", repr(content))
        self.content[tree] = content
        commit = Commit(
            id=CommitId(_digest("commit", str(len(self.commits)), tree) + "00000000"),
            tree=tree,
            branch="main",
            subject=subject,
            author="A. Person",
            committed_at=BOOTED_AT,
        )
        self.commits.append(commit)
        return commit

    def systems(self, host: HostName) -> dict[StorePath, dict[UnitName, ObservedUnit]]:
        """Return the systems of *host* in all commits, with the units of each."""
        contents = (one for one in self.content.values() if isinstance(one, Mapping))
        found = (content.get(host) for content in contents)
        return {
            toplevel_of(host, services): {
                UnitName(name): observed_unit(name, version)
                for name, version in services.items()
                if not name.startswith(KEYS)
            }
            for services in found
            if isinstance(services, Mapping)
        }

    def content_of(self, checkout: Path) -> Content:
        """Return what a checkout holds; it must not have been removed."""
        commit = next(one for one in self.commits if one.id == checkout.name)
        assert commit.id in self.checkouts, f"{checkout} was removed"
        return self.content[commit.tree]

    def fetch(self) -> Commit:
        """See Mirror."""
        self.before_fetch()
        if self.away:
            raise SourceError(self.away)
        self.fetched = self.commits[-1]
        return self.fetched

    def first_unsigned(
        self, commit: CommitId, after: Collection[CommitId]
    ) -> Flaw | None:
        """See Mirror; here every commit comes after those before it."""
        ids = [one.id for one in self.commits]
        begin = max((ids.index(one) + 1 for one in after), default=ids.index(commit))
        for one in ids[begin : ids.index(commit) + 1]:
            if one in self.flaws:
                return Flaw(one, self.flaws[one])
        return None

    def has(self, commit: CommitId) -> bool:
        """See Mirror."""
        return any(one.id == commit for one in self.commits)

    def check_signatures(self) -> None:
        """See Mirror: none is asked for."""

    def is_merged(self, commit: Commit) -> bool:
        """See Mirror: there is but one branch."""
        return commit in self.commits

    def resolve(self, ref: str) -> Commit:
        """See Mirror."""
        if ref == "main" and self.fetched is not None:
            return self.fetched
        if found := [one for one in self.commits if one.id.startswith(ref)]:
            return found[0]
        for commit in self.commits:
            if commit.id == ref:
                return commit
        message = f"no branch, tag or commit {ref!r} that we know"
        raise UnknownCommitError(message)

    def contains(self, newer: CommitId, older: CommitId) -> bool:
        """See Mirror; here every commit comes after those before it."""
        ids = [commit.id for commit in self.commits]
        return newer in ids and older in ids[: ids.index(newer) + 1]

    def between(
        self, before: CommitId, after: CommitId, *, limit: int
    ) -> tuple[list[Commit], int]:
        """See Mirror; each commit follows the one before it."""
        ids = [commit.id for commit in self.commits]
        came = self.commits[ids.index(before) + 1 : ids.index(after) + 1][::-1]
        return came[:limit], len(came)

    def checkout(self, commit: Commit) -> Path:
        """See Mirror."""
        assert commit in self.commits
        self.checkouts.add(commit.id)
        return self._folder / commit.id

    @contextlib.contextmanager
    def held(self, commit: Commit) -> Iterator[Path]:
        """See Mirror."""
        with self._lock:
            self._held[commit.id] += 1
            folder = self.checkout(commit)
        try:
            yield folder
        finally:
            with self._lock:
                self._held[commit.id] -= 1

    def prune(self, keep: Collection[CommitId]) -> None:
        """See Mirror."""
        with self._lock:
            self.checkouts &= {*keep, *+self._held}


# --- Nix -------------------------------------------------------------------------


class FakeEvaluator:
    """An Evaluator over the content of the fake mirror's commits; see there."""

    def __init__(self, mirror: FakeMirror, folder: Path) -> None:
        self.build_error: ReconcilerError | None = None
        self.before_evaluation: Callable[[], None] = do_nothing
        self.before_build: Callable[[], None] = do_nothing
        self.unaddressed: set[str] = set()  # hosts of which nobody says where
        self.local: set[str] = set()  # the host that is the machine that we run on
        self.ports: dict[StorePath, int] = {}  # that commits say, by system
        self.evaluated: list[HostName] = []  # one entry for each time
        self.overrides: Mapping[str, HostSettings] = {}
        self.keys: tuple[DesiredKey, ...] = ()  # that each host declares, with texts
        self.secrets: tuple[DesiredSecret, ...] = ()  # that it decrypts itself
        self.base: Base | None = None
        self.listed = 0  # how often the list of hosts was asked for
        self.built: set[StorePath] = set()
        self.unbuildable: dict[HostName, str] = {}  # why a host's system cannot be
        self._mirror = mirror
        self._folder = folder

    def override(self, hosts: Mapping[str, HostSettings]) -> None:
        """See Evaluator; nothing here asks for an address but the commits' own."""
        self.overrides = hosts

    def key_texts(
        self, checkout: Path, host: HostName, names: Sequence[str]
    ) -> dict[str, bytes]:
        """See Evaluator; the version of a key is its content, else all of its host."""
        services = self._services(checkout, host)
        text = json.dumps(services, sort_keys=True)
        return {
            name: services.get(KEYS + name, f"{name}: {text}").encode()
            for name in names
        }

    def hosts(self, checkout: Path) -> tuple[HostName, ...]:
        """See Evaluator."""
        self.listed += 1
        content = self._mirror.content_of(checkout)
        if isinstance(content, ReconcilerError):
            raise content
        return tuple(sorted(map(HostName, content)))

    def unchanged(self, checkout: Path, host: HostName) -> tuple[str, tuple[str, ...]]:
        """See Evaluator; here every commit is evaluated."""
        return "", (f"{host} is always evaluated, in {checkout}",)

    def evaluate(
        self,
        checkout: Path,
        host: HostName,
        *,
        key: str = "",
        hear: Callable[[Heard], None] = hear_nothing,
    ) -> Desired:
        """See Evaluator."""
        hear(Heard(trace=None, seconds=0.5, memory=1 << 20 if key else 0))
        self.evaluated.append(host)
        self.before_evaluation()
        services = self._services(checkout, host)
        derivation = self._folder / f"{toplevel_of(host, services)[11:]}.drv"
        derivation.touch()
        desired = desired_of(host, services, derivation)
        port = self.ports.get(desired.toplevel, 22)
        target = dataclasses.replace(desired.target, port=port)
        desired = dataclasses.replace(desired, target=target)
        keys = {**desired.keys, **{key.name: key for key in self.keys}}
        if host in self.unaddressed:
            desired = dataclasses.replace(
                desired, target=Target(address=""), address_from=""
            )
        if host in self.local:
            here = dataclasses.replace(desired.target, local=True)
            desired = dataclasses.replace(desired, target=here)
        return dataclasses.replace(
            desired, keys=keys, secrets=self.secrets, base=self.base
        )

    def _services(self, checkout: Path, host: HostName) -> Services:
        content = self._mirror.content_of(checkout)
        assert not isinstance(content, ReconcilerError)
        services = content[host]
        if isinstance(services, ReconcilerError):
            raise services
        return services

    def build(
        self,
        desired: Desired,
        *,
        root: Path,
        checkout: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """See Evaluator."""
        assert root.parent.is_dir()
        self.before_build()
        if not Path(desired.derivation).exists():
            assert checkout is not None
            assert self.evaluate(checkout, desired.host).toplevel == desired.toplevel
        if self.build_error is not None:
            raise self.build_error
        if on_line is not None:
            on_line(f"building '{desired.derivation}'...")
        root.unlink(missing_ok=True)
        root.symlink_to(desired.toplevel)
        self.built.add(desired.toplevel)

    def cannot_build(self, desired: Desired) -> str:
        """See Evaluator."""
        return self.unbuildable.get(desired.host, "")

    def have_derivation(self, desired: Desired, checkout: Path | None) -> None:
        """See Evaluator."""
        assert checkout is not None
        assert self.evaluate(checkout, desired.host).toplevel == desired.toplevel

    def build_there(
        self,
        desired: Desired,
        way: Way,
        *,
        root: str,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """See Evaluator."""
        way.build(desired, root=root, deadline=60.0, on_line=on_line)

    def identity(self, commit: Commit, checkout: Path) -> str:
        """See Evaluator."""
        assert checkout.name == commit.id
        return commit.tree

    def why(self, checkout: Path) -> str:
        """See Evaluator."""
        return f"{checkout.name} is a commit of the fake mirror"

    def cache_key(self, tree: str, host: HostName, *, fresh: bool = False) -> str:
        """See Evaluator; of what lies outside of the repository, settings alone."""
        del fresh
        return _digest(tree, host, str(self.overrides.get(host, "")))


# --- hosts -----------------------------------------------------------------------


@dataclass(kw_only=True)
class Machine(FakeHost):
    """A FakeHost with services that die, and hooks for what happens meanwhile."""

    dying: set[UnitName] = field(default_factory=set)  # however often one starts them
    activation_error: ReconcilerError | None = None
    before_read: Callable[[], None] = do_nothing
    commands: int = 0  # that may have changed it
    ports: dict[StorePath, int] = field(default_factory=dict)  # of systems' SSH servers

    @property
    def port(self) -> int:
        """The port at which the system that runs is reached."""
        return self.ports.get(self.running, 22) if self.running else 22

    @override
    def read(self, script: str, *, what: str, deadline: float) -> str:
        """See HostReader."""
        self.before_read()
        return super().read(script, what=what, deadline=deadline)

    @override
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
        """See HostWriter."""
        self.commands += 1
        if self.activation_error is not None:
            raise self.activation_error
        result = super().run(
            argv,
            what=what,
            deadline=deadline,
            stdin=stdin,
            on_line=on_line,
            check=check,
        )
        for name in self.dying & self.units.keys():
            self.change(name, **FAILED)
        return result

    def change(self, name: str, **fields: object) -> None:
        """Change a unit behind the reconciler's back."""
        unit = UnitName(name)
        self.units[unit] = dataclasses.replace(self.units[unit], **fields)  # type: ignore[arg-type]


class FakeConnections:
    """Connections to machines in memory; see there."""

    def __init__(self, mirror: FakeMirror, stores: Path) -> None:
        self.machines: dict[HostName, Machine] = {}
        self.reconnected: list[HostName] = []  # one entry for each time
        self.forgotten: list[HostName] = []
        self.heard: dict[HostName, tuple[str, Hear]] = {}  # scripts, and who hears
        self.ways: dict[HostName, Target] = {}
        self.names_of_keys: frozenset[str] = frozenset()
        self._mirror = mirror
        self._stores = stores

    def machine(self, host: str) -> Machine:
        """Return the machine of a host; at first it has its first system."""
        name = HostName(host)
        if name not in self.machines:
            (self._stores / address_of(host)).mkdir(parents=True)
            self.machines[name] = Machine(
                host=name, running=FIRST, booted=FIRST, profile=FIRST
            )
        return self.machines[name]

    def reader(self, host: HostName, target: Target) -> HostReader:
        """See Connections."""
        if not target.address:
            raise NoAddressError(host)
        assert target.address == address_of(host)
        machine = self.machine(host)
        way = self.way_to(host, target)
        if way.port != machine.port:
            message = f"{host}: cannot connect to {way.login}: Connection refused"
            raise ConnectError(message, host=host)
        return machine

    def host_keys(self, host: HostName, target: Target) -> frozenset[str]:
        """See Connections."""
        del host, target
        return self.names_of_keys

    def writer(self, host: HostName, target: Target) -> HostWriter:
        """See Connections."""
        machine = self.machine(host)
        self.reader(host, target)
        there = {path.name for path in (self._stores / target.address).iterdir()}
        # What was not copied there cannot be switched to.
        machine.systems = {
            toplevel: units
            for toplevel, units in self._mirror.systems(host).items()
            if toplevel.rpartition("/")[2] in there
        }
        return machine

    def go_by(self, host: HostName, way: Target | None) -> None:
        """See Connections."""
        if way is None:
            self.ways.pop(host, None)
        else:
            self.ways[host] = way

    def way_to(self, host: HostName, target: Target) -> Target:
        """See Connections."""
        return self.ways.get(host, target)

    def introduce(self, known: Target, target: Target) -> None:
        """See Connections."""

    def listen(self, host: HostName, target: Target, script: str, hear: Hear) -> bool:
        """See Connections; tests say in the hosts' place what there is to hear."""
        self.reader(host, target)
        new = self.heard.get(host, ("", hear))[0] != script
        if new:
            self.heard[host] = (script, hear)
        return new

    def ignore(self, host: HostName) -> None:
        """See Connections."""
        self.heard.pop(host, None)

    def leave(self, host: HostName, way: Target) -> None:
        """See Connections."""

    def lost(self) -> list[HostName]:
        """See Connections; here they never end by themselves."""
        return []

    def reconnect(self, host: HostName) -> None:
        """See Connections."""
        self.reconnected.append(host)

    def copy(
        self,
        desired: Desired,
        *,
        deadline: float,
        on_line: OnLine | None = None,
        derivation: bool = False,
    ) -> None:
        """See Connections."""
        config = self._stores / "ssh_config"
        copy_closure(
            desired,
            config=config,
            deadline=deadline,
            on_line=on_line,
            derivation=derivation,
        )

    def build(
        self,
        desired: Desired,
        *,
        root: str,
        deadline: float,
        on_line: OnLine | None = None,
    ) -> None:
        """See Connections; machines in memory have no Nix."""
        del root, deadline, on_line
        message = f"{desired.host} builds nothing"
        raise AssertionError(message)

    def read_log(self, desired: Desired, derivation: str, *, deadline: float) -> str:
        """See Connections; machines in memory have no Nix."""
        del desired, derivation, deadline
        return ""

    def try_copying(
        self, desired: Desired, there: StorePath, *, deadline: float
    ) -> None:
        """See Connections."""
        config = self._stores / "ssh_config"
        try_copying(desired, there, config=config, deadline=deadline)

    def shell(
        self, host: HostName, target: Target, line: str, *, terminal: bool
    ) -> list[str]:
        """See Connections."""
        del terminal
        return ["ssh", self.way_to(host, target).login, line]

    def apart(self) -> Self:
        """See Connections; nothing here is ever cut."""
        apart = type(self)(self._mirror, self._stores)
        apart.machines = self.machines
        return apart

    def forget(self, host: HostName) -> None:
        """See Connections."""
        self.forgotten.append(host)

    def close(self) -> None:
        """See Connections."""
