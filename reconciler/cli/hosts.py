"""``reconciler hosts``: the hosts that the repository declares."""

import typer
from rich.text import Text

from reconciler.cli.common import (
    KNOWN_ERROR,
    OK,
    AsJson,
    err,
    out,
    print_json,
)
from reconciler.cli.listing import Listing, Row
from reconciler.cli.words import short_path
from reconciler.cli.worlds import for_each, look, opened
from reconciler.errors import ReconcilerError
from reconciler.model import Desired, HostName, Target
from reconciler.revisions import Evaluations


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(hosts)


def hosts(context: typer.Context, *, as_json: AsJson = False) -> None:
    """
    List the hosts of the newest commit and what they should run.

    Evaluates every host and asks none. Exit status 1 if one does not evaluate.

    ```
    reconciler hosts
    reconciler hosts --json | jq -r '.[] | select(.tags | index("web")).host'
    ```
    """
    with opened(context) as world:
        _, revision = look(world)
        evaluations = Evaluations(world)

        def evaluate(host: HostName) -> Desired | ReconcilerError:
            try:
                return evaluations.desired(revision, host)
            except ReconcilerError as error:
                return error

        names = list(revision.hosts)
        with err.status("evaluating"):
            found = dict(zip(names, for_each(world, names, evaluate), strict=True))
    if as_json:
        print_json([_as_dict(*pair) for pair in found.items()])
    else:
        out.print(_table(found))
    bad = any(isinstance(one, ReconcilerError) for one in found.values())
    raise typer.Exit(KNOWN_ERROR if bad else OK)


def _as_dict(host: HostName, found: Desired | ReconcilerError) -> dict[str, object]:
    if isinstance(found, ReconcilerError):
        return {"host": host, "error": str(found)}
    return {
        "host": host,
        "address": found.target.address or None,
        "port": found.target.port,
        "user": found.target.user,
        "address_from": found.address_from or None,
        "tags": list(found.tags),
        "toplevel": found.toplevel,
        "services": _services(found),
    }


def _services(desired: Desired) -> list[str]:
    return sorted(
        unit.name
        for unit in desired.units.values()
        if unit.wanted and unit.name.endswith(".service")
    )


def _table(found: dict[HostName, Desired | ReconcilerError]) -> Listing:
    titles = ("HOST", "ADDRESS", "FROM", "TAGS", "SERVICES", "SYSTEM")
    return Listing(titles=titles, rows=[_row(*pair) for pair in found.items()])


def _reached(target: Target) -> str:
    if not target.address:
        return "no address"
    return f"{target.user}@{target.address}:{target.port}"


def _row(host: HostName, found: Desired | ReconcilerError) -> Row:
    if isinstance(found, ReconcilerError):
        return Row(cells=(host, "-", "-", "-", "-", "-"), note=Text(str(found), "red"))
    target = found.target
    return Row(
        cells=(
            host,
            _reached(target),
            found.address_from or "-",
            ", ".join(found.tags) or "-",
            str(len(_services(found))),
            short_path(found.toplevel),
        )
    )
