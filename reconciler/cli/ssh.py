"""On a host itself: a shell, a command, the journal of a unit."""

import re
import shlex
from collections.abc import Sequence
from typing import Annotated

import typer

from reconciler import process
from reconciler.cli.common import out
from reconciler.cli.options import Host
from reconciler.cli.worlds import last_known, opened
from reconciler.model import Desired
from reconciler.remote import become_root
from reconciler.world import World


def ssh(
    context: typer.Context,
    host: Host,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- COMMAND...]",
            help="Run this instead of a shell.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """
    Log in to a host, or run a command there.

    As the reconciler does: same address, user, identity, known_hosts, ssh_config. One
    word is a line for the shell there; several are a command and its arguments, each as
    it is. The exit status is that of ssh.

    ```
    reconciler ssh lufta
    reconciler ssh lufta -- systemctl status withinbot
    reconciler ssh lufta -- 'df -h | grep nix'
    ```
    """
    with opened(context) as world:
        argv = ssh_argv(world, last_known(world, host), command or ())
    process.become(argv)


def ssh_argv(
    world: World, desired: Desired, command: Sequence[str], *, terminal: bool = False
) -> list[str]:
    """Return the ssh(1) command that runs *command* on a host, or a shell there."""
    line = command[0] if len(command) == 1 else shlex.join(command)
    host, target = desired.host, desired.target
    return world.connections.shell(host, target, line, terminal=terminal)


_SUFFIX = re.compile(
    r"\.(service|socket|timer|path|target|mount|automount|swap|slice|scope|device)"
)


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
        command = [*become_root(desired.target), "journalctl", "--no-pager", "--quiet"]
        command += ["--output=short-iso", f"--unit={_whole(unit)}", f"--lines={lines}"]
        command += ["--follow"] if follow else []
        command += [f"--since={since}"] if since else []
        # With a terminal on the far side the end of our ssh ends journalctl there.
        argv = ssh_argv(world, desired, command, terminal=follow and out.is_terminal)
    process.become(argv)


def _whole(unit: str) -> str:
    return unit if _SUFFIX.search(unit) else f"{unit}.service"


COMMANDS = {"ssh": ssh, "logs": logs}
