"""``reconciler events [HOST]``: the audit log."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli.common import (
    AsJson,
    complete_hosts,
    out,
    print_json,
    recorded,
)
from reconciler.cli.listing import Listing, Row
from reconciler.cli.words import when
from reconciler.history import Event
from reconciler.model import HostName


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(events)


def events(
    context: typer.Context,
    host: Annotated[
        str | None,
        typer.Argument(
            metavar="HOST",
            autocompletion=complete_hosts,
            help="Only what is about this host.",
            show_default=False,
        ),
    ] = None,
    *,
    limit: Annotated[
        int, typer.Option("-n", "--limit", min=1, help="At most so many events.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """
    Show the audit log, newest first: who did what, when and why.

    Orders of people, over the command line or the API; changes of the settings; how
    the repository was; trust. Without a name, the reconciler itself did it.

    ```
    reconciler events
    reconciler events lufta -n 10
    reconciler events --json | jq -r '.[] | select(.kind == "hold").actor'
    ```
    """
    name = HostName(host) if host else None
    with recorded(context) as history:
        found = history.events(host=name, limit=limit) if history else []
    if as_json:
        print_json([asdict(event) for event in found])
    elif not found:
        out.print("Nothing is recorded yet.")
    else:
        titles = ("WHEN", "WHAT", "HOST", "WHO", "WHY")
        out.print(Listing(titles=titles, rows=[_row(event) for event in found]))


def _row(event: Event) -> Row:
    return Row(
        cells=(
            when(event.at),
            event.kind,
            Text(event.host or "-", "bold"),
            event.actor or "-",
            event.text.replace("\n", "; "),
        )
    )
