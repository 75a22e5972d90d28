"""``reconciler database``: where history is kept, taken from one place to another."""

from pathlib import Path
from typing import Annotated

import typer

from reconciler.cli.common import out, print_json, waiting
from reconciler.cli.options import AsJson
from reconciler.history.copying import copy
from reconciler.settings.database_url import database_url

database = typer.Typer(
    help="""
    Take history from one database to another.

    ```
    reconciler database copy /var/lib/reconciler/history.sqlite postgresql:///reconciler
    ```
    """,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)

COMMANDS = {"database": database}


@database.callback()
def _group() -> None:
    """Have ``copy`` be said, though there is no other one yet."""


def _place(text: str) -> str:
    """Return the path or URL *text*. Raises BadParameter."""
    if "://" not in text:
        return str(Path(text).expanduser())
    try:
        return database_url(text)
    except ValueError as error:
        message = f"the URL {error}"
        raise typer.BadParameter(message) from error


Source = Annotated[
    str,
    typer.Argument(metavar="FROM", help="A file of SQLite, or a URL of PostgreSQL."),
]
Target = Annotated[
    str,
    typer.Argument(metavar="TO", help="The same; new, or empty, and of nobody."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would be copied.")
]


@database.command("copy")
def copy_database(
    source: Source, target: Target, *, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """
    Copy all of history to another database, which must be empty.

    All or nothing; what it is copied from stays as it is. No daemon may work with
    either. Then write the new place into the settings, and start the daemon.

    ```
    reconciler database copy /var/lib/reconciler/history.sqlite postgresql:///reconciler
    reconciler database copy postgresql:///reconciler ./history.sqlite --dry-run
    ```
    """
    with waiting("copying"):
        rows = copy(_place(source), _place(target), dry_run=dry_run)
    if as_json:
        print_json({"copied": not dry_run, "rows": rows})
        return
    told = "would be copied" if dry_run else "copied"
    tables = sum(1 for count in rows.values() if count)
    out.print(f"{sum(rows.values())} rows of {tables} tables {told}")
