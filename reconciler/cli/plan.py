"""What differs on hosts: plan for it, bring hosts to their commits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from reconciler.attempt import meet
from reconciler.attempt.first import first_deployment
from reconciler.attempt.preview import Preview, preview, preview_as_dict
from reconciler.cli.client import is_running
from reconciler.cli.common import (
    DIFFERENCES,
    KNOWN_ERROR,
    OK,
    now,
    out,
    print_json,
    waiting,
    warn,
)
from reconciler.cli.options import AsJson, Hosts, Why
from reconciler.cli.screen.brought import brings
from reconciler.cli.screen.listing import Listing, Row
from reconciler.cli.screen.plans import error_group, first_group, plan_group
from reconciler.cli.screen.progress import Progress
from reconciler.cli.screen.words import (
    VERDICT_WORDS,
    ago,
    counted,
    note,
    state,
)
from reconciler.cli.worlds import (
    adopt,
    at_commit,
    for_each,
    hosts_reached,
    look,
    note_order,
    opened,
    warn_of,
)
from reconciler.errors import ReconcilerError
from reconciler.loop import Failed, Gate, HostPass, Result
from reconciler.loop.brought import BroughtLater
from reconciler.loop.caches import Caches
from reconciler.loop.queue import Backoff
from reconciler.model import (
    Adopt,
    Attempt,
    Desired,
    HostName,
    HostStatus,
    Plan,
    Takeover,
    Verdict,
)
from reconciler.plan import (
    PreviewShape,
    no_plan_as_dict,
    no_status_as_dict,
    status_as_dict,
    stranger,
)
from reconciler.revisions import Evaluations, Repository, Revision
from reconciler.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What became of planning one host."""

    host: HostName
    plan: Plan | None = None
    desired: Desired | None = None
    error: str = ""
    brings: Preview | None = None  # with another system
    adopted: bool = True
    first: tuple[Takeover, ...] | None = None  # what a first deployment changes
    strange: str = ""  # why what answers is not the host that we know

    @property
    def incomparable(self) -> str:
        """Why nobody can say what a first deployment would change; empty: one can."""
        return self.error or self.strange


def plan_hosts(
    context: typer.Context,
    hosts: Hosts = None,
    *,
    commit: Annotated[
        str | None,
        typer.Option(
            metavar="REF",
            help="Plan for this branch, tag or commit instead of the newest one.",
        ),
    ] = None,
    diff: Annotated[
        bool,
        typer.Option(
            "--diff",
            help="Show how the texts of units and of other files in /etc differ.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    r"""
    Show what differs on each host and what would be done.

    Changes nothing. A commit that is not on the watched branch gets no keys, runs no
    keyCommand and no health check, and `repository.secrets` is not laid over it. Nix
    still evaluates it as you: it can read what you can read.

    Where the new system was built, here or on the host, its packages are told, and
    whether a reboot will be needed; `--diff` shows the units as `systemctl cat` does,
    line by line, and other files in /etc. Keys are in neither.

    Where the newest commit does not count, this is about the one that does.

    Exit status: 0 every host is in sync, 2 something differs, 1 an error, also that the
    newest commit does not count.

    ```
    reconciler plan
    reconciler plan lufta keanu --diff
    reconciler plan --commit my-branch
    reconciler plan --json | jq -r '.[].drifts[] | "\(.kind) \(.subject)"'
    ```
    """
    with opened(context) as world:
        if commit:
            seen_in, revision = at_commit(world, commit)
            passed_over = None
        else:
            repository, revision = look(world)
            seen_in, passed_over = world, repository.passed_over
        meant = hosts_reached(seen_in, revision, hosts)
        planned = plan_each(seen_in, revision, meant, files=diff)
    show_plans(planned, revision, as_json=as_json)
    raise typer.Exit(KNOWN_ERROR if passed_over else exit_status(planned))


def plan_each(
    world: World, revision: Revision, hosts: list[HostName], *, files: bool = False
) -> list[Planned]:
    """
    Evaluate, probe and plan *hosts* side by side; errors stay each host's own.

    With the texts of *files* if so.
    """
    evaluations = Evaluations(world)

    def one(host: HostName) -> Planned:
        try:
            desired = evaluations.desired(revision, host)
            seen = meet(world, desired, revision.checkout, policy=world.policy)
            reader = world.connections.reader(host, desired.target)
            brings = preview(desired, seen.observed, reader, files=files)
            first = first_deployment(desired, seen, reader)
        except ReconcilerError as error:
            return Planned(host=host, error=str(error))
        return Planned(
            host=host,
            plan=seen.plan,
            desired=desired,
            brings=brings,
            adopted=seen.known.adopted,
            first=first,
            strange=stranger(seen.observed, seen.known),
        )

    with waiting("looking at the hosts"):
        planned = for_each(world, hosts, one)
    for seen in planned:
        warn_of(seen.desired)
    return planned


def exit_status(planned: Sequence[Planned]) -> int:
    """Return 1 if a host could not be planned, else 2 if one differs, else 0."""
    if any(one.plan is None for one in planned):
        return KNOWN_ERROR
    differs = any(
        one.plan.verdict is not Verdict.CONVERGED for one in planned if one.plan
    )
    return DIFFERENCES if differs else OK


def show_plans(
    planned: Sequence[Planned], revision: Revision, *, as_json: bool
) -> None:
    """Print every host's plan, and how many there are of each kind."""
    if as_json:
        print_json([plan_as_dict(one, revision) for one in planned])
        return
    short, subject = revision.commit.short, revision.commit.subject
    out.print(Text.assemble((f"commit {short}", "bold"), f"  {subject}\n"))
    for one in planned:
        out.print(_group(one))
        if one.plan and one.plan.only_path:
            out.print(Text(f"  {_told_path(one.brings)}", "dim"))
        for part in brings(one.brings) if one.brings else ():
            out.print(part)
        if one.first is not None:
            out.print(first_group(one.first))
    words = [
        VERDICT_WORDS[one.plan.verdict] if one.plan else "error" for one in planned
    ]
    out.print(Text(f"\n{counted(words)}", "bold"))


def _told_path(found: Preview | None) -> str:
    """Say that a system differs in its path, and in nothing that runs."""
    if found is None or found.packages is None:
        return "no unit and no key differs; whether packages do is not known yet"
    if found.packages.packages or found.packages.kernel:
        return "no unit and no key differs"
    return (
        "only its path differs, as by system.configurationRevision: no unit, no key and"
        " no version of a package"
    )


def _group(one: Planned) -> Group:
    return plan_group(one.plan) if one.plan else error_group(one.host, one.error)


def plan_as_dict(one: Planned, revision: Revision) -> PreviewShape:
    """Return what is planned for a host, for ``--json``."""
    if one.plan is None or one.desired is None:
        nothing = no_plan_as_dict(one.host, revision.commit.id, one.error)
        return {**nothing, "brings": None, "first_deployment": None}
    commit = revision.commit.id
    return preview_as_dict(one.plan, one.desired, commit, one.brings, one.first)


def apply(
    context: typer.Context,
    hosts: Hosts = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan; change nothing.")
    ] = False,
    reason: Why = "",
    as_json: AsJson = False,
) -> None:
    """
    Bring hosts to the newest commit once, without the daemon.

    Builds, copies, activates, starts what should run, and looks again. Works beside a
    running daemon, and also where the policy only reports: a person asked for it. The
    hosts that are named are adopted by it, if they answer and can be compared; without
    names, those that wait for adoption are left alone.
    Exit status: 0 every host is in sync afterwards, 1 if not, or if that is with a
    commit which is not the newest, since that does not count; with --dry-run as `plan`.

    ```
    reconciler apply lufta --dry-run
    reconciler apply lufta
    reconciler apply
    ```
    """
    progress = Progress()
    with opened(context, asked=True, tell=progress.tell) as world:
        repository, revision = look(world)
        names = hosts_reached(world, revision, hosts)
        if dry_run:
            planned = plan_each(world, revision, names)
            show_plans(planned, revision, as_json=as_json)
            status = exit_status(planned)
            raise typer.Exit(KNOWN_ERROR if repository.passed_over else status)
        commit = f"commit {revision.commit.short}"
        note_order(world, "apply", names, reason, commit)
        if hosts and world.policy.adopt is Adopt.ASK:  # who names it gives it to us
            _adopt(world, revision, names, reason)
        before = _last_attempts(world, names)
        with progress:
            results = _bring(world, repository, names, progress)
        known = {one.host: one for one in world.history.statuses()}
        statuses = [known[name] for name in names if name in known]
        done = _last_attempts(world, names)
        if as_json:
            _print_applied(dict(zip(names, results, strict=True)), known, revision)
        else:
            new = {h: one for h, one in done.items() if one != before.get(h)}
            _show_applied(statuses, new)
        _push(world)
    good = len(statuses) == len(names) and all(one.in_sync for one in statuses)
    failed = any(isinstance(result, Failed) for result in results)
    wrong = failed or not good or repository.passed_over is not None
    raise typer.Exit(KNOWN_ERROR if wrong else OK)


def _adopt(
    world: World, revision: Revision, names: list[HostName], reason: str
) -> None:
    """Take those of the hosts for given to us that can be compared; say why not."""
    new = [name for name in names if not world.history.is_adopted(name)]
    planned = plan_each(world, revision, new) if new else []
    for one in planned:
        if one.incomparable:
            warn(f"{one.host}: is not adopted by this: {one.incomparable}")
    adopt(world, [one.host for one in planned if not one.incomparable], reason)


def _bring(
    world: World, repository: Repository, names: list[HostName], progress: Progress
) -> list[Result]:
    gate, evaluations = Gate(Backoff()), Evaluations(world)
    brought = BroughtLater(world, evaluations)
    one_pass = HostPass(world, repository, evaluations, gate, brought=brought)

    def run(host: HostName) -> Result:
        try:
            result = one_pass.run(host)
        except ReconcilerError as error:
            result = Failed(error)
        progress.ended(host, _problem(result))
        return result

    results = for_each(world, names, run)
    if not is_running(world.settings):  # a daemon works it out
        brought.turn()
    return results


def _push(world: World) -> None:
    """Push to caches what no daemon will; all else is told by now, for it may last."""
    if world.settings.cache.push and not is_running(world.settings):
        with waiting("pushing to caches"):
            Caches(world).turn()


def _problem(result: Result) -> str:
    return str(result.error) if isinstance(result, Failed) else ""


def _last_attempts(world: World, names: list[HostName]) -> dict[HostName, Attempt]:
    found = [
        one for name in names for one in world.history.attempts(host=name, limit=1)
    ]
    return {one.host: one for one in found}


def _print_applied(
    results: Mapping[HostName, Result],
    known: Mapping[HostName, HostStatus],
    revision: Revision,
) -> None:
    """Print what became of each host for ``--json``."""
    print_json(
        [
            status_as_dict(known[name])
            if name in known
            else no_status_as_dict(name, revision.commit.id, _problem(result))
            for name, result in results.items()
        ]
    )


def _show_applied(
    statuses: Sequence[HostStatus], new: Mapping[HostName, Attempt]
) -> None:
    rows = [_applied_row(status, new.get(status.host)) for status in statuses]
    out.print(Listing(titles=("HOST", "STATE", "SERVICES", "DONE"), rows=rows))
    out.print(Text(counted([state(one).plain for one in statuses]), "bold"))


def _applied_row(status: HostStatus, attempt: Attempt | None) -> Row:
    done = "nothing was to be done"
    if attempt is not None and attempt.ended_at is not None:
        did = f"{attempt.verdict.value} of {attempt.commit[:8]}"
        outcome = attempt.outcome.value if attempt.outcome else "running"
        done = f"{did} {outcome} in {ago(attempt.ended_at - attempt.began_at)}"
    return Row(
        cells=(
            status.host,
            state(status),
            f"{status.units_active}/{status.units_desired}",
            done,
        ),
        note=note(status, now()),
    )


COMMANDS = {"plan": plan_hosts, "apply": apply}
