"""``reconciler hold``: have hosts left alone, or see who is held and why."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli.common import (
    AsJson,
    DryRun,
    Everything,
    Selection,
    now,
    out,
    print_json,
    recorded,
)
from reconciler.cli.listing import Listing, Row
from reconciler.cli.ordering import choose, duration, ordering
from reconciler.cli.words import ago, when
from reconciler.model import Hold


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(hold)


def hold(  # noqa: PLR0913 -- an option each
    context: typer.Context,
    hosts: Selection = None,
    *,
    everything: Everything = False,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; everybody is shown this.")
    ] = "",
    for_: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="DURATION",
            help="Let go by itself after so long: 30m, 2h, 1d.",
            show_default=False,
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """
    Have hosts left alone, or show who is held.

    Until it is released, a held host is looked at and reported, and nothing on it is
    changed, not even by `apply`. An attempt that is under way goes on to its end. Holds
    are remembered across restarts; a second hold of a host replaces the first. Without
    hosts: show the holds.

    ```
    reconciler hold lufta --reason "the disk is being changed"
    reconciler hold @home --reason "holidays" --for 2d
    reconciler hold
    ```
    """
    if not hosts and not everything:
        with recorded(context) as history:
            _show(history.holds(now()) if history else [], as_json=as_json)
        return
    if not reason.strip():
        message = "say why, so that others know whom to ask and when to let go"
        raise typer.BadParameter(message, param_hint="--reason")
    seconds = duration(for_)
    with ordering(context) as orders:
        names = choose(context, orders, hosts, everything=everything)
        holds = orders.drafted(names, reason=reason, seconds=seconds)
        if not dry_run:
            orders.hold(holds)
    _show(holds, as_json=as_json)


def _show(holds: Sequence[Hold], *, as_json: bool) -> None:
    if as_json:
        print_json([_as_dict(one) for one in holds])
    elif not holds:
        out.print("No host is held.")
    else:
        titles = ("HOST", "BY", "SINCE", "UNTIL", "REASON")
        out.print(Listing(titles=titles, rows=[_row(one) for one in holds]))


def _as_dict(hold: Hold) -> dict[str, object]:
    """Return a hold for ``--json``. The keys stay; new ones may come."""
    return {
        "host": hold.host,
        "reason": hold.reason,
        "actor": hold.actor,
        "since": hold.since,
        "until": hold.until,
    }


def _row(hold: Hold) -> Row:
    until = when(hold.until) if hold.until is not None else "released"
    return Row(
        cells=(
            Text(hold.host, "bold"),
            hold.actor or "-",
            f"{ago(now() - hold.since)} ago",
            until,
            hold.reason,
        )
    )
