"""Adopt: give hosts to the reconciler that run what somebody else put there."""

import sys
from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli import worlds
from reconciler.cli.common import KNOWN_ERROR, OK, out, print_json, require_yes
from reconciler.cli.options import AsJson, DryRun, Hosts, Why
from reconciler.cli.plan import Planned, plan_as_dict, plan_each, show_plans
from reconciler.cli.worlds import hosts_reached, look, opened
from reconciler.revisions import Revision


def adopt(
    context: typer.Context,
    hosts: Hosts = None,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask; for scripts.")
    ] = False,
    reason: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """
    Let hosts be brought to their commits for the first time.

    A host that was never as its commit says is not touched before somebody has seen
    what that would change. This shows it, compared with what the host runs, and asks.
    From then on the host is kept as any other: at once with `policy.mode: auto`, and
    with `report` by `reconciler apply`. A host that does not answer, or where another
    machine does, cannot be compared, and is not adopted. Exit status 1 if there is one,
    or if the answer is no. With `--json` nobody is asked, so it needs `--yes`, or
    `--dry-run` to look only.

    ```
    reconciler adopt --dry-run
    reconciler adopt lufta
    reconciler adopt @home '!chrysalis' --yes
    ```
    """
    with opened(context) as world:
        _, revision = look(world)
        names = hosts_reached(world, revision, hosts)
        planned = plan_each(world, revision, names)
        waiting = [one for one in planned if not (one.adopted or one.incomparable)]
        if not as_json:
            _show(planned, waiting, revision)
        if waiting and not dry_run:
            _require_consent(len(waiting), yes=yes, shown=not as_json)
            worlds.adopt(world, [one.host for one in waiting], reason)
    if as_json:
        print_json([_as_dict(one, revision, done=not dry_run) for one in planned])
    elif waiting and not dry_run:
        for one in waiting:
            out.print(Text.assemble((one.host, "bold"), "  adopted"))
    unseen = any(one.incomparable for one in planned)
    raise typer.Exit(KNOWN_ERROR if unseen else OK)


def _show(planned: list[Planned], waiting: list[Planned], revision: Revision) -> None:
    shown = [one for one in planned if one in waiting or one.incomparable]
    if shown:
        show_plans(shown, revision, as_json=False)
    for one in planned:
        if one not in shown:
            out.print(Text.assemble((one.host, "bold"), "  was adopted before"))


def _require_consent(count: int, *, yes: bool, shown: bool) -> None:
    if not yes and not (shown and sys.stdin.isatty()):
        why = "nobody is here to be asked" if shown else "--json asks nobody"
        message = f"{why}: look with --dry-run, then say --yes"
        raise typer.BadParameter(message, param_hint="--yes")
    which = "this host" if count == 1 else f"these {count} hosts"
    require_yes(f"Shall {which} be kept so from now on?", yes=yes)


def _as_dict(one: Planned, revision: Revision, *, done: bool) -> dict[str, object]:
    """Return what became of a host for ``--json``. The keys stay; new ones may come."""
    new = not (one.adopted or one.incomparable)
    return {
        "host": one.host,
        "adopted": one.plan is not None and (one.adopted or (new and done)),
        "new": new,
        "plan": plan_as_dict(one, revision),
    }


COMMANDS = {"adopt": adopt}
