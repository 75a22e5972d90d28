"""``reconciler show HOST``: all that is known of one host."""

import typer
from rich.text import Text

from reconciler.cli.common import AsJson, Host, now, out, print_json, recorded
from reconciler.cli.history import attempt_table
from reconciler.cli.listing import Paragraphs
from reconciler.cli.plans import drift_lines
from reconciler.cli.words import ago, state, told_hold, told_quarantine, when
from reconciler.errors import StateError, UnknownHostError
from reconciler.history import History
from reconciler.model import Attempt, HostName, HostStatus
from reconciler.plan import attempt_as_dict, status_as_dict

RECENT = 5  # attempts shown


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(show)


def show(context: typer.Context, host: Host, *, as_json: AsJson = False) -> None:
    """
    Show one host: how it stands, what differs, its last attempts.

    Reads what was recorded and asks nobody; `plan HOST` looks at the host now.

    ```
    reconciler show lufta
    ```
    """
    with recorded(context) as history:
        status, attempts = _read(history, host)
    if as_json:
        told = [attempt_as_dict(attempt) for attempt in attempts]
        print_json(status_as_dict(status) | {"attempts": told})
        return
    out.print(_facts(status))
    if status.drifts:
        out.print(Text("\nDrift", "bold"))
        out.print(drift_lines(status))
    if attempts:
        out.print(Text("\nAttempts", "bold"))
        out.print(attempt_table(attempts))


def _read(history: History | None, host: str) -> tuple[HostStatus, list[Attempt]]:
    found = {one.host: one for one in history.statuses(now=now())} if history else {}
    if history is None or not found:
        message = (
            f"nothing is known of {host}: no host was looked at yet; start"
            f" `reconciler run`, or look now with `reconciler plan {host}`"
        )
        raise StateError(message)
    name = HostName(host)
    if name not in found:
        raise UnknownHostError(host, known=sorted(found))
    return found[name], history.attempts(host=name, limit=RECENT)


def _facts(status: HostStatus) -> Paragraphs:
    since = status.drift_since
    rows: list[tuple[str, str | Text]] = [
        ("host", status.host),
        ("state", state(status)),
        ("address", status.address or "-"),
        ("tags", ", ".join(status.tags) or "-"),
        ("commit", status.commit),
        ("desired system", status.target or "-"),
        ("running system", status.running or "-"),
        ("services", f"{status.units_active} of {status.units_desired} active"),
        ("drift since", f"{when(since)} ({ago(now() - since)})" if since else "-"),
        ("last looked at", f"{when(status.updated_at)}"),
    ]
    if status.hold is not None:
        rows.append(("hold", Text(told_hold(status.hold, now()), "magenta")))
    if status.quarantine is not None:
        told = told_quarantine(status.quarantine, now())
        rows.append(("quarantine", Text(told, "red")))
    if status.error:
        rows.append(("problem", Text(status.error, "red")))
    return Paragraphs(rows=[(Text(name, "bold"), value) for name, value in rows])
