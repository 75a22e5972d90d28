"""``reconciler retry``: try hosts again at once, also a system that failed."""

import typer

from reconciler.cli.common import AsJson, DryRun, Everything, Selection, Why
from reconciler.cli.ordering import choose, ordering, show_done


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(retry)


def retry(
    context: typer.Context,
    hosts: Selection = None,
    *,
    everything: Everything = False,
    reason: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """
    Try hosts again at once, also a system that failed there.

    A system that failed on a host is not tried there again by itself: this lifts that
    quarantine. It also ends every wait between attempts, and after an evaluation that
    failed. A hold stays. Without a daemon, `reconciler apply` is what tries.

    ```
    reconciler retry lufta
    reconciler retry @home
    ```
    """
    with ordering(context) as orders:
        names = choose(context, orders, hosts, everything=everything)
        before = {one.host for one in orders.history.quarantines()}
        if not dry_run:
            orders.retry(names, reason=reason)
    done = {name: name in before for name in names}
    show_done(
        done,
        key="quarantined",
        yes="quarantine lifted; tried again",
        no="tried again",
        as_json=as_json,
    )
