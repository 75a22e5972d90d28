"""``reconciler approve``: let pass what a guard stopped."""

import re
from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli.common import (
    AsJson,
    DryRun,
    Why,
    complete_selection,
    out,
    print_json,
)
from reconciler.cli.ordering import ordering
from reconciler.cli.words import short_path
from reconciler.cli.worlds import opened
from reconciler.errors import UnknownHostError
from reconciler.loop import Orders, select
from reconciler.model import Commit, HostName, StorePath

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
    reason: Why = "",
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
        found = [_found(context, orders, word) for word in what]
        if not dry_run:
            for systems, commit in found:
                _approve(orders, systems, commit, reason)
    rows = [row for one in found for row in _rows(*one)]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        name = row["host"] or row["commit"]
        may = short_path(row["toplevel"]) if row["host"] else "this commit"
        out.print(Text.assemble((str(name), "bold"), f"  {may} may come"))


def _found(
    context: typer.Context, orders: Orders, word: str
) -> tuple[dict[HostName, StorePath], Commit | None]:
    """Return the systems that *word* means, or else the commit."""
    try:
        hosts = select([word], orders.hosts())
    except UnknownHostError:
        if not _COMMIT.fullmatch(word):
            raise
        return {}, _resolved(context, word)
    return orders.to_come(hosts), None


def _approve(
    orders: Orders,
    systems: dict[HostName, StorePath],
    commit: Commit | None,
    reason: str,
) -> None:
    if commit is not None:
        orders.approve_commit(commit.id, reason=reason)
    orders.approve(systems, reason=reason)


def _rows(
    systems: dict[HostName, StorePath], commit: Commit | None
) -> list[dict[str, str | None]]:
    if commit is not None:
        return [{"host": None, "toplevel": None, "commit": commit.id}]
    return [
        {"host": host, "toplevel": toplevel, "commit": None}
        for host, toplevel in systems.items()
    ]


def _resolved(context: typer.Context, ref: str) -> Commit:
    with opened(context) as world:
        return world.mirror.resolve(ref)
