"""``reconciler logs HOST UNIT``: the journal of a unit on a host."""

import re
from typing import Annotated

import typer

from reconciler import process
from reconciler.cli.common import Host, out
from reconciler.cli.places import last_known
from reconciler.cli.ssh import ssh_argv
from reconciler.cli.worlds import opened
from reconciler.model import Desired

_SUFFIX = re.compile(
    r"\.(service|socket|timer|path|target|mount|automount|swap|slice|scope|device)"
)


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(logs)


def logs(
    context: typer.Context,
    host: Host,
    unit: Annotated[
        str,
        typer.Argument(
            metavar="UNIT",
            help="The unit; a service without its suffix too.",
            show_default=False,
        ),
    ],
    *,
    follow: Annotated[
        bool,
        typer.Option("-f", "--follow", help="Go on with what comes, until Ctrl-C."),
    ] = False,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=0, help="At most so many lines.")
    ] = 50,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Only from then on, as journalctl(1) takes it: today, -1h.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """
    Show the journal of a unit on a host.

    What the reconciler itself did is in `history --log ATTEMPT`; what a switch printed
    is also in the unit reconciler-activation. The exit status is that of journalctl.

    ```
    reconciler logs lufta withinbot
    reconciler logs lufta withinbot.service -f -n 10
    reconciler logs lufta reconciler-activation --since today
    ```
    """
    with opened(context) as world:
        desired = last_known(world, host)
        command = [*_become(desired), "journalctl", "--no-pager", "--quiet"]
        command += ["--output=short-iso", f"--unit={_whole(unit)}", f"--lines={lines}"]
        command += ["--follow"] if follow else []
        command += [f"--since={since}"] if since else []
        # With a terminal on the far side the end of our ssh ends journalctl there.
        argv = ssh_argv(world, desired, command, terminal=follow and out.is_terminal)
    process.become(argv)


def _become(desired: Desired) -> tuple[str, ...]:
    return () if desired.target.user == "root" else desired.target.escalation


def _whole(unit: str) -> str:
    return unit if _SUFFIX.search(unit) else f"{unit}.service"
