"""``reconciler apply``: bring hosts to their commit once, without a daemon."""

from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli.common import (
    KNOWN_ERROR,
    OK,
    AsJson,
    Hosts,
    choose_hosts,
    now,
    out,
    print_json,
)
from reconciler.cli.listing import Listing, Row
from reconciler.cli.plan import exit_status, plan_each, show_plans
from reconciler.cli.progress import Progress
from reconciler.cli.words import ago, counted, note, state
from reconciler.cli.worlds import for_each, look, opened
from reconciler.errors import ReconcilerError
from reconciler.loop import Failed, Gate, HostPass, Result
from reconciler.loop.queue import Backoff
from reconciler.model import Attempt, HostName, HostStatus
from reconciler.plan import status_as_dict
from reconciler.revisions import Evaluations, Repository
from reconciler.world import World


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(apply)


def apply(
    context: typer.Context,
    hosts: Hosts = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """
    Bring hosts to the newest commit once, without the daemon.

    Builds, copies, activates, starts what should run, and looks again. Works beside a
    running daemon, and also where the policy only reports: a person asked for it.
    Exit status: 0 every host is in sync afterwards, 1 if not; with --dry-run as `plan`.

    ```
    reconciler apply lufta --dry-run
    reconciler apply lufta
    reconciler apply
    ```
    """
    progress = Progress()
    with opened(context, asked=True, tell=progress.tell) as world:
        repository, revision = look(world)
        names = choose_hosts(hosts, revision.hosts)
        if dry_run:
            planned = plan_each(world, revision, names)
            show_plans(planned)
            raise typer.Exit(exit_status(planned))
        before = _last_attempts(world, names)
        with progress:
            results = _run(world, repository, names, progress)
        statuses = [one for one in world.history.statuses() if one.host in names]
        done = _last_attempts(world, names)
    if as_json:
        print_json([status_as_dict(status) for status in statuses])
    else:
        new = {h: one for h, one in done.items() if one != before.get(h)}
        rows = [_row(status, new.get(status.host)) for status in statuses]
        out.print(Listing(titles=("HOST", "STATE", "SERVICES", "DONE"), rows=rows))
        out.print(Text(counted([state(one).plain for one in statuses]), "bold"))
    good = len(statuses) == len(names) and all(one.in_sync for one in statuses)
    failed = any(isinstance(result, Failed) for result in results)
    raise typer.Exit(OK if good and not failed else KNOWN_ERROR)


def _run(
    world: World, repository: Repository, names: list[HostName], progress: Progress
) -> list[Result]:
    gate = Gate(Backoff())
    one_pass = HostPass(world, repository, Evaluations(world), gate)

    def run(host: HostName) -> Result:
        try:
            result = one_pass.run(host)
        except ReconcilerError as error:
            result = Failed(error)
        problem = str(result.error) if isinstance(result, Failed) else ""
        progress.ended(host, problem)
        return result

    return for_each(world, names, run)


def _last_attempts(world: World, names: list[HostName]) -> dict[HostName, Attempt]:
    found = [
        one for name in names for one in world.history.attempts(host=name, limit=1)
    ]
    return {one.host: one for one in found}


def _row(status: HostStatus, attempt: Attempt | None) -> Row:
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
