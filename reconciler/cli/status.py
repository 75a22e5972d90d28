"""``reconciler status``: how every host stands, as the last pass left it."""

import typer
from rich.text import Text

from reconciler.cli.common import (
    AsJson,
    chosen,
    now,
    out,
    print_json,
    recorded,
    warn,
)
from reconciler.cli.listing import Listing, Row
from reconciler.cli.words import ago, counted, note, short_path, state
from reconciler.history import History
from reconciler.model import HostStatus
from reconciler.plan import status_as_dict
from reconciler.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(status)


def status(context: typer.Context, *, as_json: AsJson = False) -> None:
    """
    Show how every host stood when it was last looked at.

    Reads what the daemon (or the last `apply`) recorded and asks no host; `plan` looks
    at the hosts now, `show HOST` tells more of one.

    ```
    reconciler status
    reconciler status --json | jq -r '.[] | select(.in_sync | not).host'
    ```
    """
    with recorded(context) as history:
        found = _read(history) if history else []
        if history:
            _warn_of_targets(history, chosen(context).settings())
    if as_json:
        print_json([status_as_dict(status) for status in found])
    elif not found:
        out.print("No host was looked at yet: start `reconciler run`.")
    else:
        out.print(_table(found))
        out.print(Text(_summary(found), "bold"))


def _read(history: History) -> list[HostStatus]:
    if problem := history.repository.problem():
        warn(f"the repository, when last looked at: {problem}")
    return sorted(history.statuses(now=now()), key=lambda status: status.host)


def _warn_of_targets(history: History, settings: Settings) -> None:
    """Say which targets do not accept what they are to be told."""
    outbox = history.outbox
    lefts = [
        *(outbox.backlog(target.name) for target in settings.notify.targets),
        *(outbox.mark_backlog(target.name) for target in settings.statuses),
    ]
    for left in lefts:
        if left.error:
            warn(f"cannot tell {left.target} ({left.waiting} waiting): {left.error}")


def _table(found: list[HostStatus]) -> Listing:
    titles = ("HOST", "STATE", "SERVICES", "DRIFT", "COMMIT", "SEEN", "SYSTEM")
    return Listing(titles=titles, rows=[_row(status) for status in found])


def _row(status: HostStatus) -> Row:
    drift = f"{len(status.drifts)}" if status.drifts else "-"
    if status.drift_since is not None:
        drift += f" for {ago(now() - status.drift_since)}"
    return Row(
        cells=(
            status.host,
            state(status),
            f"{status.units_active}/{status.units_desired}",
            drift,
            status.commit[:8],
            f"{ago(now() - status.updated_at)} ago",
            short_path(status.running),
        ),
        note=note(status, now()),
    )


def _summary(found: list[HostStatus]) -> str:
    return counted([state(status).plain for status in found])
