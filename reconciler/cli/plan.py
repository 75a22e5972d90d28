"""``reconciler plan``: what would be done, unit by unit, without doing it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from reconciler.attempt import look as look_at
from reconciler.cli.common import (
    DIFFERENCES,
    KNOWN_ERROR,
    OK,
    AsJson,
    Hosts,
    choose_hosts,
    err,
    out,
    print_json,
)
from reconciler.cli.plans import error_group, plan_group
from reconciler.cli.words import VERDICT_WORDS, counted
from reconciler.cli.worlds import at_commit, for_each, look, opened, warn_of
from reconciler.errors import ReconcilerError
from reconciler.model import Desired, HostName, Plan, Verdict
from reconciler.plan import as_dict
from reconciler.revisions import Evaluations, Revision
from reconciler.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What became of planning one host."""

    host: HostName
    plan: Plan | None = None
    desired: Desired | None = None
    error: str = ""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command(name="plan")(plan_hosts)


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
    as_json: AsJson = False,
) -> None:
    r"""
    Show what differs on each host and what would be done.

    Changes nothing. Exit status: 0 every host is in sync, 2 something differs, 1 an
    error.

    ```
    reconciler plan
    reconciler plan lufta keanu
    reconciler plan --commit my-branch
    reconciler plan --json | jq -r '.[].drifts[] | "\(.kind) \(.subject)"'
    ```
    """
    with opened(context) as world:
        revision = at_commit(world, commit) if commit else look(world)[1]
        planned = plan_each(world, revision, choose_hosts(hosts, revision.hosts))
    if as_json:
        print_json([_as_dict(one, revision) for one in planned])
    else:
        short, subject = revision.commit.short, revision.commit.subject
        out.print(Text.assemble((f"commit {short}", "bold"), f"  {subject}\n"))
        show_plans(planned)
    raise typer.Exit(exit_status(planned))


def plan_each(world: World, revision: Revision, hosts: list[HostName]) -> list[Planned]:
    """Evaluate, probe and plan *hosts* side by side; errors stay each host's own."""
    evaluations = Evaluations(world)

    def one(host: HostName) -> Planned:
        try:
            desired = evaluations.desired(revision, host)
            seen = look_at(world, desired, revision.checkout, policy=world.policy)
        except ReconcilerError as error:
            return Planned(host=host, error=str(error))
        return Planned(host=host, plan=seen.plan, desired=desired)

    with err.status("looking at the hosts"):
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


def show_plans(planned: Sequence[Planned]) -> None:
    """Print every host's plan, and how many there are of each kind."""
    for one in planned:
        out.print(_group(one))
    words = [
        VERDICT_WORDS[one.plan.verdict] if one.plan else "error" for one in planned
    ]
    out.print(Text(f"\n{counted(words)}", "bold"))


def _group(one: Planned) -> Group:
    return plan_group(one.plan) if one.plan else error_group(one.host, one.error)


def _as_dict(one: Planned, revision: Revision) -> dict[str, object]:
    commit = {"commit": revision.commit.id}
    if one.plan is None or one.desired is None:
        return {"host": one.host, "error": one.error, **commit}
    return as_dict(one.plan, one.desired) | commit
