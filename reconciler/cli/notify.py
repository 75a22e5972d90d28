"""``reconciler notify``: who is told what happens, and whether it gets there."""

from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli.common import KNOWN_ERROR, chosen, now, out, print_json, waiting
from reconciler.cli.options import AsJson
from reconciler.cli.records import recorded
from reconciler.cli.screen.listing import Listing, Row
from reconciler.cli.screen.words import ago
from reconciler.errors import DeliveryError, SettingsError
from reconciler.history import History
from reconciler.messages import Backlog
from reconciler.notify import Channel, text_to_try
from reconciler.settings import NotifyTarget, Settings, StatusTarget

notify = typer.Typer(
    help="""
    Show who is told what happens, and try it out.

    Targets are in the settings, under `notify` and `statuses`; what waits for one that
    is away is kept and sent later.

    ```
    reconciler notify list
    reconciler notify test phone
    ```
    """,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)

COMMANDS = {"notify": notify}

Fact = str | int | float | list[str] | None

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="Only this target; all of `notify.targets` by default.",
        show_default=False,
    ),
]


@notify.command("list")
def list_targets(context: typer.Context, *, as_json: AsJson = False) -> None:
    """
    Show the targets, what waits for each, and why.

    Of a URL only the kind of service is shown. Commit statuses stand below.

    ```
    reconciler notify list
    reconciler notify list --json | jq '.[] | select(.waiting > 0)'
    ```
    """
    settings = chosen(context).settings()
    with recorded(context) as history:
        rows = [
            *(_of_target(one, history) for one in settings.notify.targets),
            *(_of_forge(one, history) for one in settings.statuses),
        ]
    if as_json:
        print_json(rows)
    elif not rows:
        out.print("Nobody is told: the settings name no `notify.targets`.")
    else:
        titles = ("TARGET", "SERVICE", "EVENTS", "HOSTS", "WAITING", "LAST ACCEPTED")
        out.print(Listing(titles=titles, rows=[_row(row) for row in rows]))


@notify.command("test")
def send_test(context: typer.Context, name: Name = None) -> None:
    """
    Send a test message now, and say what became of it.

    It does not go through the outbox, and the filters of a target do not count. Exit
    status 1 if a target does not accept it.

    ```
    reconciler notify test
    reconciler notify test phone
    ```
    """
    failed = False
    for target in _chosen_targets(chosen(context).settings(), name):
        try:
            with waiting(f"sending to {target.name}"):
                Channel(target).send(text_to_try(target.name))
        except DeliveryError as error:
            failed = True
            line = Text.assemble(("✗ ", "bold red"), target.name, (f"  {error}", "red"))
        else:
            line = Text.assemble(("✓ ", "green"), target.name, ("  accepted", "dim"))
        out.print(line, soft_wrap=True)
    if failed:
        raise typer.Exit(KNOWN_ERROR)


def _chosen_targets(settings: Settings, name: str | None) -> list[NotifyTarget]:
    targets = settings.notify.targets
    found = [target for target in targets if name in (None, target.name)]
    if not found:
        known = ", ".join(target.name for target in targets) or "none"
        what = f"no target is named {name!r}" if name else "there is no target"
        message = f"{what}; notify.targets of the settings has: {known}"
        raise SettingsError(message)
    return found


def _of_target(target: NotifyTarget, history: History | None) -> dict[str, Fact]:
    left = history.outbox.backlog(target.name) if history else None
    return {
        "target": target.name,
        "service": Channel(target).service(),
        "events": [kind.value for kind in target.events],
        "hosts": list(target.hosts),
        **_left(left),
    }


def _of_forge(target: StatusTarget, history: History | None) -> dict[str, Fact]:
    left = history.outbox.mark_backlog(target.name) if history else None
    return {
        "target": target.name,
        "service": target.provider.value,
        "events": ["commit-status"],
        "hosts": [],
        **_left(left),
    }


def _left(left: Backlog | None) -> dict[str, Fact]:
    return {
        "waiting": left.waiting if left else 0,
        "oldest_at": (left.oldest_at or None) if left else None,
        "accepted_at": (left.accepted_at or None) if left else None,
        "error": left.error if left else "",
    }


def _row(row: dict[str, Fact]) -> Row:
    waiting, accepted = str(row["waiting"]), row["accepted_at"]
    if isinstance(oldest := row["oldest_at"], float):
        waiting += f" for {ago(now() - oldest)}"
    last = f"{ago(now() - accepted)} ago" if isinstance(accepted, float) else "-"
    return Row(
        cells=(
            str(row["target"]),
            str(row["service"]),
            _listed(row["events"]),
            _listed(row["hosts"]),
            waiting,
            last,
        ),
        note=Text(str(row["error"]), "red") if row["error"] else None,
    )


def _listed(value: Fact) -> str:
    return ", ".join(value) if isinstance(value, list) and value else "all"
