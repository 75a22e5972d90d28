"""``reconciler keys``: the secrets of hosts, and never their content."""

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.text import Text

from reconciler.attempt import Look, meet
from reconciler.cli.common import KNOWN_ERROR, OK, err, out, print_json
from reconciler.cli.lazy import ListByDefault
from reconciler.cli.options import AsJson, Hosts, Why
from reconciler.cli.screen.listing import Listing, Row
from reconciler.cli.worlds import for_each, hosts_reached, look, note_order, opened
from reconciler.errors import ReconcilerError
from reconciler.loop import KEY_KINDS, Running, deliver, look_at_running
from reconciler.model import (
    Adopt,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One key of a host; or only why nothing is known of them, as its state."""

    host: HostName
    key: str | None = None
    path: str | None = None
    origin: str | None = None
    owner: str | None = None
    state: str = IN_PLACE


keys = typer.Typer(
    cls=ListByDefault,
    help="""
    Show the keys of hosts, or deliver those that differ.

    `keys [HOST]` is short for `keys list [HOST]`.

    ```
    reconciler keys
    reconciler keys lufta --json
    reconciler keys send lufta
    ```
    """,
    add_completion=False,
    rich_markup_mode="markdown",
)


@keys.command("list")
def list_keys(
    context: typer.Context, hosts: Hosts = None, *, as_json: AsJson = False
) -> None:
    """
    Show the keys of hosts: where they come from, how they stand.

    Asks the hosts; neither contents nor hashes are shown. Exit status: 0 all are in
    place, 1 if not.

    ```
    reconciler keys list
    reconciler keys list lufta --json
    ```
    """
    with opened(context) as world:
        _, revision = look(world)
        found = look_at_each(world, revision, hosts)
    rows = [row for one in found for row in rows_of(one)]
    _show(rows, "No host declares a key.", as_json=as_json)
    good = all(row.state == IN_PLACE for row in rows)
    raise typer.Exit(OK if good else KNOWN_ERROR)


def look_at_each(
    world: World, revision: Revision, hosts: list[str] | None
) -> list[Found]:
    """Look at hosts side by side; errors stay each host's own."""
    evaluations = Evaluations(world)

    def one(host: HostName) -> Found:
        try:
            desired = evaluations.desired(revision, host)
            seen = meet(world, desired, revision.checkout, policy=world.policy)
        except ReconcilerError as error:
            return Found(host=host, error=str(error))
        return Found(host=host, desired=desired, seen=seen)

    return for_each(world, hosts_reached(world, revision, hosts), one)


def rows_of(one: Found) -> list[KeyRow]:
    """Return what is told of each key of a host."""
    if one.desired is None or one.seen is None:
        return [KeyRow(host=one.host, state=one.error)]
    drifts = {
        drift.subject: f"{drift.kind.value.removeprefix('key-')}: {drift.observed}"
        for drift in one.seen.plan.drifts
        if drift.kind in KEY_KINDS
    }
    problems = one.seen.digests.problems
    return [
        KeyRow(
            host=one.host,
            key=key.name,
            path=key.path,
            origin=origin(key),
            owner=f"{key.user}:{key.group} {key.mode:04o}",
            state=problems.get(key.name) or drifts.get(key.name, IN_PLACE),
        )
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


def _show(rows: list[KeyRow], nothing: str, *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        out.print(table_of(rows) if rows else nothing)


def table_of(rows: list[KeyRow]) -> Listing:
    """Return keys as a table; what is wrong with one stands below it."""
    titles = ("HOST", "KEY", "STATE", "OWNER", "PATH", "ORIGIN")
    return Listing(titles=titles, rows=[_row(row) for row in rows], give_way=(-1, -2))


def _row(row: KeyRow) -> Row:
    good = row.state == IN_PLACE
    told = Text("in place", "green") if good else Text("differs", "yellow")
    if row.key is None:
        told = Text("unknown", "red")
    return Row(
        cells=(
            row.host,
            row.key or "-",
            told,
            row.owner or "-",
            row.path or "-",
            row.origin or "-",
        ),
        note=None if good else Text(row.state, "yellow"),
    )


@keys.command("send")
def send_keys(
    context: typer.Context,
    hosts: Hosts = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent.")
    ] = False,
    reason: Why = "",
    as_json: AsJson = False,
) -> None:
    """
    Deliver the keys that differ, and nothing else.

    The keys are those that the running system was declared with, which on a held host
    need not be the newest commit's; none is removed. The daemon does this by itself,
    also after a reboot; this is for hosts that are held, or where the policy only
    reports. A host that waits for adoption gets keys if it is named, and is not adopted
    by that; without names it is left alone. Exit status: 0 all are in place, 1 if not.

    ```
    reconciler keys send --dry-run
    reconciler keys send lufta
    ```
    """
    with opened(context, asked=True) as world, ExitStack() as held:
        _, revision = look(world)
        names = hosts_reached(world, revision, hosts)
        left = set() if hosts else {name for name in names if _waits(world, name)}
        found = _look_at_each(world, revision, names, held, left=left)
        if dry_run:
            pairs = zip(names, found, strict=True)
            rows = [row for name, one in pairs for row in _rows(name, one)]
            _show(rows, "Every key is in place.", as_json=as_json)
            raise typer.Exit(OK)
        note_order(world, "send-keys", names, reason)
        problems = [one if isinstance(one, str) else _send(world, one) for one in found]
    ended = dict(zip(names, problems, strict=True))
    if as_json:
        print_json([{"host": name, "error": told} for name, told in ended.items()])
    else:
        for name, problem in ended.items():
            out.print(Text.assemble((name, "bold"), f"  {problem or 'keys in place'}"))
    raise typer.Exit(KNOWN_ERROR if any(problems) else OK)


def _waits(world: World, host: HostName) -> bool:
    """Return whether nobody has given the host to us."""
    asks = world.policy.adopt is Adopt.ASK
    return asks and not world.history.is_adopted(host)


def _look_at_each(
    world: World,
    revision: Revision,
    names: list[HostName],
    held: ExitStack,
    *,
    left: Collection[HostName],
) -> list[Running | str]:
    """
    Look at hosts side by side; say what is wrong where that cannot be.

    Those that are *left* wait for adoption, and nobody has named them.
    """
    evaluations = Evaluations(world)

    def one(host: HostName) -> Running | str:
        if host in left:
            return (
                f"{host} waits for adoption: nothing is sent there unless it is named:"
                f" reconciler keys send {host}"
            )
        try:
            return look_at_running(world, evaluations, revision, host, held)
        except ReconcilerError as error:
            return str(error)

    return for_each(world, names, one)


def _rows(name: HostName, one: Running | str) -> list[KeyRow]:
    """Return what is told of the keys of a host that differ."""
    if isinstance(one, str):
        return rows_of(Found(host=name, error=one))
    found = Found(host=name, desired=one.wanted.desired, seen=one.seen)
    return [row for row in rows_of(found) if row.state != IN_PLACE]


def _send(world: World, one: Running) -> str:
    """Deliver what differs on one host; return what went wrong, if anything."""
    try:
        deliver(world, one, _say)
    except ReconcilerError as error:
        return str(error)
    return one.problem


def _say(line: str) -> None:
    err.print(line, soft_wrap=True)


COMMANDS = {"keys": keys}
