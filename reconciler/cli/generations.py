"""``reconciler generations HOST``: the systems that a host can be taken back to."""

from collections.abc import Mapping, Sequence

import typer
from rich.text import Text

from reconciler.cli.common import AsJson, Host, err, out, print_json
from reconciler.cli.listing import Listing, Row
from reconciler.cli.places import last_known
from reconciler.cli.words import short_path, when
from reconciler.cli.worlds import opened
from reconciler.model import CommitId, StorePath
from reconciler.observed import Generation
from reconciler.observed import generations as ask

NO_COMMIT = CommitId("")


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(generations)


def generations(context: typer.Context, host: Host, *, as_json: AsJson = False) -> None:
    """
    List the systems that a host can be taken back to.

    Asks the host itself. IS says what it runs, what it was booted with, and what it
    boots next; COMMIT is the one that last had the system brought there.

    ```
    reconciler generations lufta
    reconciler generations lufta --json | jq '.[] | select(.running).number'
    ```
    """
    with opened(context) as world, err.status("looking at the host"):
        desired = last_known(world, host)
        found = ask(world.connections.reader(desired.host, desired.target))
        commits = world.history.commits_of(desired.host)
    if as_json:
        print_json([as_dict(one, commits) for one in found])
    else:
        table = generation_table(found, commits)
        out.print(table if found else f"{host} has no system profile.")


def as_dict(
    one: Generation, commits: Mapping[StorePath, CommitId]
) -> dict[str, object]:
    """Return a generation for ``--json``. The keys stay; new ones may come."""
    return {
        "number": one.number,
        "made_at": one.made_at,
        "toplevel": one.toplevel,
        "label": one.label,
        "running": one.running,
        "booted": one.booted,
        "default": one.default,
        "commit": commits.get(one.toplevel),
    }


def generation_table(
    found: Sequence[Generation], commits: Mapping[StorePath, CommitId]
) -> Listing:
    """Return generations as a table."""
    titles = ("NUMBER", "MADE", "IS", "COMMIT", "VERSION", "SYSTEM")
    rows = [_row(one, commits.get(one.toplevel, NO_COMMIT)) for one in found]
    return Listing(titles=titles, rows=rows)


def _row(one: Generation, commit: CommitId) -> Row:
    marks = {"running": one.running, "booted": one.booted, "default": one.default}
    told = ", ".join(name for name, applies in marks.items() if applies)
    return Row(
        cells=(
            str(one.number),
            when(one.made_at),
            Text(told or "-", "green" if one.running else ""),
            commit[:8] or "-",
            one.label or "-",
            short_path(one.toplevel),
        )
    )
