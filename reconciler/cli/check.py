"""Is everything set up, and if not, what to mend."""

import fnmatch
import functools
import platform
import shlex
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.text import Text

from reconciler import process
from reconciler.attempt import meet
from reconciler.cli.common import (
    KNOWN_ERROR,
    chosen,
    out,
    print_json,
    waiting,
    warn,
)
from reconciler.cli.options import AsJson, Hosts
from reconciler.cli.reporting import told_reporting, try_signing
from reconciler.cli.why import why_always
from reconciler.cli.worlds import for_each, hosts_meant, opened, warn_of
from reconciler.desired import gate, tool_of, trace_problem
from reconciler.desired.cage import NixCage
from reconciler.desired.writer import told_writer
from reconciler.errors import ReconcilerError
from reconciler.history import pushed, read_history
from reconciler.history.place import FILE
from reconciler.model import HostName, Verdict
from reconciler.notify import Channel
from reconciler.plan import cannot_decrypt, not_judged, told_shared
from reconciler.revisions import Evaluations, Repository
from reconciler.settings import Cage, Settings, StateSettings
from reconciler.settings.named_files import read_secret
from reconciler.source import shown
from reconciler.web.api import Access
from reconciler.web.webhooks import Routes
from reconciler.world import World, told_unset

T = TypeVar("T")

_SHOWN = 5
_HOW = "`repository.secrets.NAME.hosts`"
_BARE = ", but others can read them, since there is no cage for evaluations"

TOOLS = ("nix-instantiate", "nix-store", "nix-copy-closure", "nix", "ssh", "git")
COPY_DEADLINE = 60.0  # seconds for one round trip the way that copies


@dataclass(slots=True)
class Report:
    """What was checked so far."""

    as_json: bool
    lines: list[dict[str, object]] = field(default_factory=list)

    def add(self, what: str, problem: str = "", told: str = "") -> bool:
        """Note one check, print it for people; return whether it passed."""
        self.lines.append(
            {"check": what, "ok": not problem, "problem": problem, "told": told}
        )
        if not self.as_json:
            mark = Text("✗ ", "bold red") if problem else Text("✓ ", "green")
            line = Text.assemble(mark, what)
            line.append(f"  {problem or told}", "red" if problem else "dim")
            out.print(line, soft_wrap=True)
        return not problem

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(line["ok"] for line in self.lines)


OnlySettings = Annotated[
    bool,
    typer.Option(
        "--only-settings",
        help="Check the settings file alone, wherever it will be used.",
    ),
]


def check(
    context: typer.Context,
    hosts: Hosts = None,
    *,
    only_settings: OnlySettings = False,
    as_json: AsJson = False,
) -> None:
    """
    Check settings, tools, repository, evaluation and every host.

    Changes nothing on any host. Every line that fails says what to mend. Exit status 1
    if one does.

    ```
    reconciler -c ./reconciler.yaml check
    reconciler check lufta
    reconciler -c ./reconciler.yaml check --only-settings
    ```
    """
    report = Report(as_json)
    try:
        settings = _settings(context, report)
        if settings is not None and not only_settings:
            _check(context, settings, hosts, report)
    finally:
        if as_json:
            print_json(report.lines)
    if not report.passed:
        raise typer.Exit(KNOWN_ERROR)


def _settings(context: typer.Context, report: Report) -> Settings | None:
    config = chosen(context).config
    return _try(report, "settings", lambda: chosen(context).settings(), str(config))


def _check(
    context: typer.Context, settings: Settings, hosts: list[str] | None, report: Report
) -> None:
    _served(settings, report)
    for tool in TOOLS:
        _try(report, f"command {tool}", functools.partial(_tool, tool))
    without = process.cage_problem()
    cage = f"none, so that they can do what we can: {without}" if without else ""
    report.add("cage for commands of commits", told=cage or "bubblewrap")
    report.add("what is evaluated", told=_told_spared())
    _try(report, "cage for evaluations", lambda: _caged(settings), caging(settings))
    report.add(f"state in {settings.state.path}", open_to_others(settings.state.path))
    if settings.state.database is not None:
        _try(report, "database", lambda: _database(settings.state))
    _caches(settings, report)
    for target in settings.notify.targets:
        _try(report, f"notifications to {target.name}", Channel(target).check)
    with waiting("checking"), opened(context) as world:
        repository = _repository(settings, world, report)
        revision = repository.current
        if revision is None:
            return
        commit = revision.commit
        report.add("commit", told=f"{commit.short} {commit.subject}")
        _layout(world, revision.checkout, report)
        _mode(world, report)
        tell_overlays(settings, revision.hosts, report)
        names = hosts_meant(world, revision, hosts)
        evaluations = Evaluations(world)
        told = for_each(
            world, names, lambda host: _one(world, evaluations, repository, host)
        )
        _tell_always(world, names, report)
        tell_outside(evaluations, names, report)
    for one in told:
        report.add(f"host {one.host}", one.problem or _twins(one, told), one.said)


def _served(settings: Settings, report: Report) -> None:
    """Check what others come with, and what metrics are pushed with."""
    if settings.webhooks:
        _try(report, "webhooks", lambda: Routes(settings.webhooks))
    if settings.api.tokens:
        _try(report, "tokens of the API", lambda: Access(settings.api))
    if file := settings.metrics.push.secret_file:
        _try(report, "login to push metrics", lambda: read_secret(file))
    if settings.report.url is not None:
        _try(report, "key to sign reports", lambda: try_signing(settings))


def _told_spared() -> str:
    problem = trace_problem()
    return f"each host at each commit: {problem}" if problem else "what a push touched"


def _tell_always(world: World, hosts: Sequence[HostName], report: Report) -> None:
    """Tell which *hosts* are evaluated at each commit, and why."""
    for host in hosts:
        if always := why_always(world.history, host):
            report.add(f"evaluation of {host}", told=f"at each commit: {always}")


def _layout(world: World, checkout: Path, report: Report) -> None:
    """Tell what the repository was taken for, and what of it is not served."""
    try:
        report.add("layout", told=world.evaluator.why(checkout))
    except ReconcilerError as error:
        report.add("layout", str(error))


def tell_outside(
    evaluations: Evaluations, hosts: Sequence[HostName], report: Report
) -> None:
    """Tell what *hosts* read that their commit does not pin."""
    found: dict[tuple[str, str], list[HostName]] = {}
    for host in hosts:
        good = evaluations.last_good(host)
        for one in good.desired.outside.items() if good else ():
            found.setdefault(one, []).append(host)
    for (name, what), of in sorted(found.items()):
        told = f"no commit pins it; now {what}; read by {_counted(of)}"
        report.add(f"input {name}", told=told)


def tell_overlays(
    settings: Settings, hosts: Sequence[HostName], report: Report
) -> None:
    """Tell who gets each folder of secrets, and what of that names no host."""
    bare = "" if NixCage(settings, trusted=True).is_there else _BARE
    for place, one in sorted(settings.repository.secrets.items()):
        what = f"secrets in {place}"
        given = [host for host in hosts if one.is_for(host)]
        if one.is_for_all:
            report.add(what, told=f"for all hosts; name those that need them: {_HOW}")
            continue
        idle = [name for name in one.hosts if not fnmatch.filter(hosts, name)]
        problem = f"no host is called {', '.join(idle)}: mend `hosts`" if idle else ""
        report.add(what, problem, f"for {_counted(given)} alone{bare}")


def _counted(hosts: Sequence[HostName]) -> str:
    more = len(hosts) - _SHOWN
    return ", ".join(hosts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _caches(settings: Settings, report: Report) -> None:
    """Tell whether what is built can be pushed, as far as pushing said last."""
    known = pushed.read(settings.state.path)
    for tool in sorted({tool_of(cache) for cache in settings.cache.push} - {*TOOLS}):
        _try(report, f"command {tool}", functools.partial(_tool, tool))
    if (key := settings.nix.signing_key) is not None:
        report.add(f"nix.signing_key {key}", _key_problem(key))
    for name in map(shown, settings.cache.push):
        found = known.get(name, pushed.Pushed())
        report.add(f"cache {name}", found.problem, f"{found.waiting} systems wait")


def _caged(settings: Settings) -> None:
    """Raise CageError where there must be one and cannot be."""
    _ = NixCage(settings, trusted=True).holds


def caging(settings: Settings) -> str:
    """Return whether evaluations run in a cage, and what follows from that."""
    bare = "so that they can read what we can"
    if settings.nix.cage is Cage.OFF:
        return f"off by nix.cage, {bare}"
    if problem := process.box_problem():
        return f"none, {bare}: {problem}"
    fetched = f"what is fetched comes from {gate.told(settings)}"
    return f"bubblewrap; {told_writer()}; {fetched}"


def _key_problem(file: Path) -> str:
    """Return why what is built cannot be signed with *file*, or anybody could sign."""
    try:
        with file.open("rb"):
            mode = _permissions(file)
    except OSError as error:
        return f"cannot be read: {error.strerror}; nothing that is built is deployed"
    if mode & 0o007:
        return f"anybody here may read it: run chmod o= {shlex.quote(str(file))}"
    return ""


def _mode(world: World, report: Report) -> None:
    """Tell what the daemon may do by itself, and why where the settings do not say."""
    policy = world.policy
    unset = world.settings.policy.mode is None
    told = f"not set: {told_unset(policy.mode)}" if unset else policy.mode.value
    report.add("policy.mode", told=told)


def _repository(settings: Settings, world: World, report: Report) -> Repository:
    """Look at the repository, and whether its commits could be verified."""
    repository = Repository(world, tells=False)
    if settings.repository.verify.asked:
        _try(report, "signatures of commits", world.mirror.check_signatures)
    _try(report, f"repository {shown(settings.repository.url)}", repository.look)
    if world.mirror.fallback:
        report.add("the repository itself", world.mirror.fallback)
    return repository


def open_to_others(state: Path) -> str:
    """
    Return what of our state others than its owner may read, and how to end that.

    A folder that is closed to them closes what is in it.
    """
    files = [state / name for name in (FILE, f"{FILE}-wal")]
    modes = {path: _permissions(path) for path in (state, *files)}
    told = [f"{path} (mode {mode:04o})" for path, mode in modes.items() if mode & 0o077]
    if not modes[state] & 0o077 or not modes[files[0]]:
        return ""
    return (
        f"others may read what only the reconciler should: {', '.join(told)}; run:"
        f" chmod go= {shlex.quote(str(state))}"
    )


def _database(state: StateSettings) -> None:
    """Try whether it can be reached. Raises StateError."""
    if history := read_history(state):
        history.close()


def _permissions(path: Path) -> int:
    """Return the permissions of what is there, 0 if nothing is."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Host:
    """What came of one host, and which machine and boot it is."""

    host: HostName
    problem: str = ""
    said: str = ""
    boot: tuple[str, str] | None = None


def _twins(one: _Host, found: Sequence[_Host]) -> str:
    """Return that other names lead to the same machine, if some do."""
    if one.boot is None or not all(one.boot):
        return ""
    names = {other.host for other in found if other.boot == one.boot} - {one.host}
    return told_shared(one.host, names) if names else ""


def _one(
    world: World, evaluations: Evaluations, repository: Repository, host: HostName
) -> _Host:
    if world.live.pulls(host):
        problem, said = told_reporting(world, host)
        return _Host(host=host, problem=problem, said=said)
    return _host(world, evaluations, repository, host)


def _host(
    world: World, evaluations: Evaluations, repository: Repository, host: HostName
) -> _Host:
    revision = repository.current
    if revision is None:
        return _Host(host=host, problem="the repository could not be read")
    try:
        desired = evaluations.desired(revision, host)
        warn_of(desired)
        seen = meet(world, desired, revision.checkout, policy=world.policy)
        found = seen.plan
    except ReconcilerError as error:
        return _Host(host=host, problem=str(error))
    boot = (seen.observed.machine_id, seen.observed.boot_id)
    # What is blocked says why; secrets matter also where nothing is deployed.
    blocked = found.reason if found.verdict is Verdict.BLOCKED else ""
    if problem := blocked or cannot_decrypt(desired, seen.known):
        return _Host(host=host, problem=problem, boot=boot)
    # A look takes one client to the host, and copying another one.
    if (there := seen.observed.running) is not None:
        try:
            world.connections.try_copying(desired, there, deadline=COPY_DEADLINE)
        except ReconcilerError as error:
            return _Host(host=host, problem=str(error))
    if seen.known.unbuildable:
        warn(f"{host}: {seen.known.unbuildable}")
    where = world.connections.way_to(host, desired.target).login
    said = f"evaluates, answers at {where}, {found.verdict.value}"
    if unjudged := not_judged(desired):
        said = f"{said}; {unjudged}"
    return _Host(host=host, said=said, boot=boot)


def _tool(name: str) -> None:
    process.run([name, "-V" if name == "ssh" else "--version"], deadline=10)


def _try(report: Report, what: str, act: Callable[[], T], told: str = "") -> T | None:
    try:
        result = act()
    except ReconcilerError as error:
        report.add(what, str(error))
        return None
    report.add(what, told=told)
    return result


def version(*, as_json: AsJson = False) -> None:
    """
    Print the versions of reconciler, Python and Nix.

    Tell all three when you report a bug.
    """
    versions = {
        "reconciler": metadata.version("reconciler"),
        "python": platform.python_version(),
        "nix": _nix(),
    }
    if as_json:
        print_json(versions)
        return
    for name, text in versions.items():
        out.print(f"{name} {text}")


def _nix() -> str:
    if shutil.which("nix-instantiate") is None:
        return "not found"
    try:
        told = process.run(["nix-instantiate", "--version"], deadline=10)
    except ReconcilerError as error:
        return f"unusable: {error}"
    return told.stdout.strip().rpartition(" ")[2]


COMMANDS = {"check": check, "version": version}
