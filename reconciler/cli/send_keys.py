"""``reconciler send-keys``: deliver keys, and nothing else."""

from contextlib import ExitStack
from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli.common import KNOWN_ERROR, OK, Hosts, choose_hosts, err, out
from reconciler.cli.keys import IN_PLACE, Found, rows_of, table_of
from reconciler.cli.worlds import for_each, look, opened
from reconciler.errors import ReconcilerError
from reconciler.loop import Running, deliver, look_at_running
from reconciler.model import HostName
from reconciler.revisions import Evaluations, Revision
from reconciler.world import World


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

    The keys are those that the running system was declared with, which on a held host
    need not be the newest commit's; none is removed. The daemon does this by itself,
    also after a reboot; this is for hosts that are held, or where the policy only
    reports. Exit status: 0 all are in place, 1 if not.

    ```
    reconciler send-keys --dry-run
    reconciler send-keys lufta
    ```
    """
    with opened(context, asked=True) as world, ExitStack() as held:
        _, revision = look(world)
        names = choose_hosts(hosts, revision.hosts)
        found = _look_at_each(world, revision, names, held)
        if dry_run:
            pairs = zip(names, found, strict=True)
            rows = [row for name, one in pairs for row in _rows(name, one)]
            out.print(table_of(rows) if rows else "Every key is in place.")
            raise typer.Exit(OK)
        problems = [one if isinstance(one, str) else _send(world, one) for one in found]
    for name, problem in zip(names, problems, strict=True):
        out.print(Text.assemble((name, "bold"), f"  {problem or 'keys in place'}"))
    raise typer.Exit(KNOWN_ERROR if any(problems) else OK)


def _look_at_each(
    world: World, revision: Revision, names: list[HostName], held: ExitStack
) -> list[Running | str]:
    """Look at hosts side by side; say what is wrong where that cannot be."""
    evaluations = Evaluations(world)

    def one(host: HostName) -> Running | str:
        try:
            return look_at_running(world, evaluations, revision, host, held)
        except ReconcilerError as error:
            return str(error)

    return for_each(world, names, one)


def _rows(name: HostName, one: Running | str) -> list[dict[str, str]]:
    """Return what is told of the keys of a host that differ."""
    if isinstance(one, str):
        return rows_of(Found(host=name, error=one))
    found = Found(host=name, desired=one.wanted.desired, seen=one.seen)
    return [row for row in rows_of(found) if row["state"] != IN_PLACE]


def _send(world: World, one: Running) -> str:
    """Deliver what differs on one host; return what went wrong, if anything."""
    try:
        deliver(world, one, _say)
    except ReconcilerError as error:
        return str(error)
    return one.problem


def _say(line: str) -> None:
    err.print(line, markup=False, soft_wrap=True)
