"""``reconciler ssh HOST``: log in to a host just as the reconciler does."""

import shlex
from collections.abc import Sequence
from typing import Annotated

import typer

from reconciler import process
from reconciler.cli.common import Host
from reconciler.cli.places import last_known
from reconciler.cli.worlds import opened
from reconciler.model import Desired
from reconciler.world import World


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(ssh)


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
    options = ["-t"] if terminal else []
    where = ["--", desired.target.address]
    told = [line] if command else []
    return ["ssh", *world.openssh(desired.target), *options, *where, *told]
