"""``reconciler keys``: the secrets of hosts, and never their content."""

from dataclasses import dataclass

import typer
from rich.text import Text

from reconciler.attempt import Look
from reconciler.attempt import look as look_at
from reconciler.cli.common import (
    KNOWN_ERROR,
    OK,
    AsJson,
    Hosts,
    choose_hosts,
    out,
    print_json,
)
from reconciler.cli.listing import Listing, Row
from reconciler.cli.worlds import for_each, look, opened
from reconciler.errors import ReconcilerError
from reconciler.loop import KEY_KINDS
from reconciler.model import (
    Desired,
    DesiredKey,
    HostName,
    KeyOrigin,
)
from reconciler.revisions import Evaluations, Revision
from reconciler.world import World

IN_PLACE = "in place"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What became of looking at one host."""

    host: HostName
    desired: Desired | None = None
    seen: Look | None = None
    error: str = ""


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(keys)


def keys(
    context: typer.Context, hosts: Hosts = None, *, as_json: AsJson = False
) -> None:
    """
    Show the keys of hosts: where they come from, how they stand.

    Asks the hosts; neither contents nor hashes are shown. Exit status: 0 all are in
    place, 1 if not.

    ```
    reconciler keys
    reconciler keys lufta --json
    ```
    """
    with opened(context) as world:
        _, revision = look(world)
        found = look_at_each(world, revision, hosts)
    rows = [row for one in found for row in rows_of(one)]
    if as_json:
        print_json(rows)
    else:
        out.print(table_of(rows) if rows else "No host declares a key.")
    good = all(row["state"] == IN_PLACE for row in rows)
    raise typer.Exit(OK if good else KNOWN_ERROR)


def look_at_each(
    world: World, revision: Revision, hosts: list[str] | None
) -> list[Found]:
    """Look at hosts side by side; errors stay each host's own."""
    evaluations = Evaluations(world)

    def one(host: HostName) -> Found:
        try:
            desired = evaluations.desired(revision, host)
            seen = look_at(world, desired, revision.checkout, policy=world.policy)
        except ReconcilerError as error:
            return Found(host=host, error=str(error))
        return Found(host=host, desired=desired, seen=seen)

    return for_each(world, choose_hosts(hosts, revision.hosts), one)


def rows_of(one: Found) -> list[dict[str, str]]:
    """Return what is told of each key of a host."""
    if one.desired is None or one.seen is None:
        return [{"host": one.host, "key": "-", "state": one.error}]
    drifts = {
        drift.subject: f"{drift.kind.value.removeprefix('key-')}: {drift.observed}"
        for drift in one.seen.plan.drifts
        if drift.kind in KEY_KINDS
    }
    problems = one.seen.digests.problems
    return [
        {
            "host": one.host,
            "key": key.name,
            "path": key.path,
            "origin": origin(key),
            "owner": f"{key.user}:{key.group} {key.mode:04o}",
            "state": problems.get(key.name) or drifts.get(key.name, IN_PLACE),
        }
        for key in sorted(one.desired.keys.values(), key=lambda key: key.name)
    ]


def origin(key: DesiredKey) -> str:
    """Say where the content of a key comes from."""
    match key.origin:
        case KeyOrigin.FILE:
            return f"file {key.file}"
        case KeyOrigin.COMMAND:
            return f"command {key.command[0]}"
        case KeyOrigin.TEXT:
            return "text of the configuration"


def table_of(rows: list[dict[str, str]]) -> Listing:
    """Return keys as a table; what is wrong with one stands below it."""
    titles = ("HOST", "KEY", "STATE", "OWNER", "PATH", "ORIGIN")
    return Listing(titles=titles, rows=[_row(row) for row in rows], give_way=(-1, -2))


def _row(row: dict[str, str]) -> Row:
    good = row["state"] == IN_PLACE
    told = Text("in place", "green") if good else Text("differs", "yellow")
    if "path" not in row:
        told = Text("unknown", "red")
    return Row(
        cells=(
            row["host"],
            row["key"],
            told,
            row.get("owner", "-"),
            row.get("path", "-"),
            row.get("origin", "-"),
        ),
        note=None if good else Text(row["state"], "yellow"),
    )
