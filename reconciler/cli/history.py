"""``reconciler history [HOST]``: attempts, newest first, and the log of one."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli.common import (
    AsJson,
    complete_hosts,
    now,
    out,
    print_json,
    recorded,
)
from reconciler.cli.listing import Listing, Row
from reconciler.cli.words import OUTCOME_STYLES, ago
from reconciler.errors import UnknownAttemptError, UnknownHostError
from reconciler.history import History
from reconciler.model import Attempt, HostName
from reconciler.plan import attempt_as_dict


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(history)


def history(
    context: typer.Context,
    host: Annotated[
        str | None,
        typer.Argument(
            metavar="HOST",
            autocompletion=complete_hosts,
            help="Only this host.",
            show_default=False,
        ),
    ] = None,
    *,
    limit: Annotated[
        int, typer.Option("-n", "--limit", min=1, help="At most so many attempts.")
    ] = 20,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="ATTEMPT",
            help="Print what Nix, the copy and the switch said in this attempt.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """
    Show attempts, newest first: what was done where, how it ended.

    ```
    reconciler history
    reconciler history lufta -n 3
    reconciler history --log 20260301T120000-1a2b
    ```
    """
    with recorded(context) as found:
        if log is not None:
            _show_log(found, log)
            return
        attempts = _attempts(found, host, limit) if found else []
    if as_json:
        print_json([attempt_as_dict(one) for one in attempts])
    else:
        out.print(attempt_table(attempts) if attempts else "No attempt was made yet.")


def _show_log(history: History | None, attempt: str) -> None:
    if history is None:
        raise UnknownAttemptError(attempt)
    for line in history.attempt_log(attempt):
        out.print(Text(line), soft_wrap=True)


def _attempts(history: History, host: str | None, limit: int) -> list[Attempt]:
    name = HostName(host) if host else None
    attempts = history.attempts(host=name, limit=limit)
    known = [status.host for status in history.statuses()]
    # A host that left the repository still has its attempts.
    if name is not None and not attempts and name not in known:
        raise UnknownHostError(name, known=known)
    return attempts


def attempt_table(attempts: Sequence[Attempt]) -> Listing:
    """Return attempts as a table."""
    titles = ("ATTEMPT", "HOST", "BEGAN", "WHY", "COMMIT", "TOOK", "OUTCOME")
    return Listing(titles=titles, rows=[_row(one) for one in attempts], give_way=(1,))


def _row(one: Attempt) -> Row:
    outcome = one.outcome.value if one.outcome else "running"
    style = OUTCOME_STYLES[one.outcome] if one.outcome else "cyan"
    took = ago(one.ended_at - one.began_at) if one.ended_at else "-"
    return Row(
        cells=(
            one.id,
            one.host,
            f"{ago(now() - one.began_at)} ago",
            one.verdict.value,
            one.commit[:8],
            took,
            Text(outcome, style),
        ),
        note=Text(one.message, style) if one.message else None,
    )
