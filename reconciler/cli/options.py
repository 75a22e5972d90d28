"""What subcommands take from the command line, and how a shell completes it."""

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.common import Chosen
from reconciler.cli.records import known_hosts
from reconciler.errors import ReconcilerError


def complete_hosts(context: typer.Context, incomplete: str) -> list[str]:
    """Return the known hosts that begin with *incomplete*, for shell completion."""
    return [name for name in sorted(_known(context)) if name.startswith(incomplete)]


def complete_selection(context: typer.Context, incomplete: str) -> list[str]:
    """Do the same for hosts and ``@tags``, also after ``!``."""
    known = _known(context)
    tags = {f"@{tag}" for of_host in known.values() for tag in of_host}
    mark = "!" if incomplete.startswith("!") else ""
    names = [f"{mark}{name}" for name in (*sorted(known), *sorted(tags))]
    return [name for name in names if name.startswith(incomplete)]


def _known(context: typer.Context) -> dict[str, tuple[str, ...]]:
    config = context.parent.params.get("config") if context.parent else None
    if config is None:
        return {}
    context.obj = Chosen(config=Path(config))
    try:
        return known_hosts(context)
    except ReconcilerError:
        return {}


WHICH = "names, `@tags`, patterns (`'web-*'`), and after `!` what is left out"
"""How hosts are named, wherever they are."""

Hosts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="HOST|@TAG|!HOST",
        help=f"Only these hosts: {WHICH}; all of them by default.",
        autocompletion=complete_selection,
        show_default=False,
    ),
]

Host = Annotated[
    str,
    typer.Argument(
        metavar="HOST",
        help="The host, by its name in the repository.",
        autocompletion=complete_hosts,
        show_default=False,
    ),
]

Selection = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="HOST|@TAG|!HOST",
        help=f"These hosts: {WHICH}.",
        autocompletion=complete_selection,
        show_default=False,
    ),
]

Everything = Annotated[bool, typer.Option("--all", help="All hosts.")]

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

Why = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, for the audit log.")
]
