"""``reconciler workers``: who shares the hosts."""

import typer
from rich.text import Text

from reconciler.cli.common import now, out, print_json
from reconciler.cli.options import AsJson
from reconciler.cli.records import recorded
from reconciler.cli.screen.listing import Listing, Row
from reconciler.cli.screen.words import ago
from reconciler.model import Worker


def workers(context: typer.Context, *, as_json: AsJson = False) -> None:
    """
    Show the workers that share the hosts, and who has which.

    Whoever leads looks at the repository, cleans up, and sends messages. One that is
    silent has lost its hosts to the others; an hour later it is not shown any more.

    ```
    reconciler workers
    reconciler workers --json | jq '.[] | select(.live) | .hosts'
    ```
    """
    with recorded(context) as history:
        found = history.workers.all() if history else []
    if as_json:
        print_json([_as_dict(one) for one in found])
    elif not found:
        out.print("There are no workers: one daemon has all hosts (`reconciler run`).")
    else:
        titles = ("WORKER", "MACHINE", "PROCESS", "SINCE", "HEARD", "STATE", "HOSTS")
        rows = [_row(one, now()) for one in found]
        out.print(Listing(titles=titles, rows=rows))


COMMANDS = {"workers": workers}


def _as_dict(one: Worker) -> dict[str, object]:
    return {
        "worker": one.id,
        "machine": one.machine,
        "process": one.process,
        "since": one.since,
        "heard_at": one.heard,
        "live": one.live,
        "leads": one.live and one.leads,
        "hosts": list(one.hosts),
    }


def _row(one: Worker, moment: float) -> Row:
    return Row(
        cells=(
            one.id,
            one.machine,
            str(one.process),
            f"{ago(moment - one.since)} ago",
            f"{ago(moment - one.heard)} ago",
            _state(one),
            str(len(one.hosts)),
        ),
        note=Text(", ".join(one.hosts), "dim") if one.hosts else None,
    )


def _state(one: Worker) -> Text:
    if not one.live:
        return Text("silent", "red")
    return Text("leads", "green") if one.leads else Text("works")
