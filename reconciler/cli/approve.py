"""``reconciler approve``: let pass what a guard stopped."""

import re
from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli.common import (
    AsJson,
    DryRun,
    complete_selection,
    out,
    print_json,
)
from reconciler.cli.ordering import ordering
from reconciler.cli.words import short_path
from reconciler.cli.worlds import opened
from reconciler.errors import UnknownHostError
from reconciler.loop import Orders, select
from reconciler.model import Commit

_COMMIT = re.compile("[0-9a-f]{7,64}")


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(approve)


def approve(
    context: typer.Context,
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="HOST|@TAG|COMMIT",
            help="Hosts whose new system may come, or a commit that may count.",
            autocompletion=complete_selection,
            show_default=False,
        ),
    ],
    *,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """
    Let pass what a guard stopped.

    A commit that removes more than `policy.removal_limit` of the fleet's hosts does not
    count until it is approved; a system that lacks as much of its host's services is
    not brought there. What is approved is that one commit, or the system that the host
    should run by now; the next one is judged anew.

    ```
    reconciler approve lufta
    reconciler approve 1a2b3c4d
    ```
    """
    with ordering(context) as orders:
        told = [_one(context, orders, word, dry_run=dry_run) for word in what]
    rows = [row for rows in told for row in rows]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        name = row["host"] or row["commit"]
        may = short_path(row["toplevel"]) if row["host"] else "this commit"
        out.print(Text.assemble((str(name), "bold"), f"  {may} may come"))


def _one(
    context: typer.Context, orders: Orders, word: str, *, dry_run: bool
) -> list[dict[str, str | None]]:
    try:
        hosts = select([word], orders.hosts())
    except UnknownHostError:
        if not _COMMIT.fullmatch(word):
            raise
        commit = _resolved(context, word)
        if not dry_run:
            orders.approve_commit(commit.id)
        return [{"host": None, "toplevel": None, "commit": commit.id}]
    systems = orders.to_come(hosts)
    if not dry_run:
        orders.approve(systems)
    return [
        {"host": host, "toplevel": toplevel, "commit": None}
        for host, toplevel in systems.items()
    ]


def _resolved(context: typer.Context, ref: str) -> Commit:
    with opened(context) as world:
        return world.mirror.resolve(ref)
