"""``reconciler release``: let go of hosts that are held."""

import typer

from reconciler.cli.common import AsJson, DryRun, Everything, Selection, Why
from reconciler.cli.ordering import choose, ordering, show_done


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(release)


def release(
    context: typer.Context,
    hosts: Selection = None,
    *,
    everything: Everything = False,
    reason: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """
    Let go of hosts that are held.

    The loop brings them to their commit at once, if they differ. Exit status 0, also
    where a host was not held.

    ```
    reconciler release lufta
    reconciler release --all
    ```
    """
    with ordering(context) as orders:
        names = choose(context, orders, hosts, everything=everything)
        before = {one.host for one in orders.history.holds(orders.now)}
        if not dry_run:
            orders.release(names, reason=reason)
    done = {name: name in before for name in names}
    show_done(done, key="held", yes="released", no="was not held", as_json=as_json)
