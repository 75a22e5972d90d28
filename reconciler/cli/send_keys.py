"""``reconciler send-keys``: deliver keys, and nothing else."""

from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli.common import KNOWN_ERROR, OK, Hosts, err, out
from reconciler.cli.keys import IN_PLACE, Found, look_at_each, rows_of, table_of
from reconciler.cli.worlds import look, opened
from reconciler.errors import ReconcilerError
from reconciler.loop import KeySteps, Revision, World


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(send_keys)


def send_keys(
    context: typer.Context,
    hosts: Hosts = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent.")
    ] = False,
) -> None:
    """
    Deliver the keys that differ, and nothing else.

    The daemon does this by itself, also after a reboot; this is for hosts that are
    held, or where the policy only reports. Exit status: 0 all are in place, 1 if not.

    ```
    reconciler send-keys --dry-run
    reconciler send-keys lufta
    ```
    """
    with opened(context, asked=True) as world:
        _, revision = look(world)
        found = look_at_each(world, revision, hosts, whatever_forbids=True)
        if dry_run:
            rows = [row for one in found for row in rows_of(one)]
            differ = [row for row in rows if row["state"] != IN_PLACE]
            out.print(table_of(differ) if differ else "Every key is in place.")
            raise typer.Exit(OK)
        problems = [_send(world, revision, one) for one in found]
    for one, problem in zip(found, problems, strict=True):
        out.print(Text.assemble((one.host, "bold"), f"  {problem or 'keys in place'}"))
    raise typer.Exit(KNOWN_ERROR if any(problems) else OK)


def _send(world: World, revision: Revision, one: Found) -> str:
    """Deliver what differs on one host; return what went wrong, if anything."""
    if one.desired is None or one.seen is None:
        return one.error
    steps = KeySteps(world, one.desired, revision.checkout, _say)
    try:
        with world.history.lock(one.host):
            steps.early(one.seen.plan)
            steps.late(one.seen.plan)
    except ReconcilerError as error:
        return str(error)
    return "; ".join(
        f"key {name}: {why}" for name, why in one.seen.digests.problems.items()
    )


def _say(line: str) -> None:
    err.print(line, markup=False, soft_wrap=True)
