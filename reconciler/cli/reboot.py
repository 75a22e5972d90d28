"""``reconciler reboot HOST…``: reboot, wait, deliver keys, see that all is well."""

from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli.common import (
    KNOWN_ERROR,
    OK,
    choose_hosts,
    complete_hosts,
    out,
)
from reconciler.cli.ordering import actor
from reconciler.cli.progress import Progress
from reconciler.cli.worlds import for_each, look, opened
from reconciler.errors import HostBusyError, ReconcilerError
from reconciler.loop import Evaluations, Gate, HostPass, Repository, World
from reconciler.loop import look as look_at
from reconciler.loop.queue import Backoff
from reconciler.loop.reboot import DEADLINE, await_order
from reconciler.loop.reboot import reboot as restart
from reconciler.model import HostName


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(reboot)


def reboot(
    context: typer.Context,
    hosts: Annotated[
        list[str],
        typer.Argument(
            metavar="HOST",
            help="The hosts, by their names in the repository.",
            autocompletion=complete_hosts,
        ),
    ],
    *,
    wait: Annotated[
        bool, typer.Option(help="Wait until the host is back and in sync.")
    ] = True,
    deadline: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long a host may take.")
    ] = DEADLINE,
) -> None:
    """
    Reboot hosts; wait, deliver their keys, see that all is well.

    A boot is told by its boot id, so a host that never went down is not taken for one
    that came back. Exit status: 0 every host is back and in sync, 1 if not.

    ```
    reconciler reboot lufta
    reconciler reboot lufta keanu --no-wait
    ```
    """
    progress = Progress()
    with opened(context, asked=True, tell=progress.tell) as world:
        repository, revision = look(world)
        names = choose_hosts(hosts, revision.hosts)

        def one(host: HostName) -> str:
            problem = ""
            try:
                _reboot(world, repository, host, deadline if wait else 0.0)
            except ReconcilerError as error:
                problem = str(error)
            progress.ended(host, problem)
            return problem

        with progress:
            problems = for_each(world, names, one)
    done = "back and in sync" if wait else "rebooting"
    for name, problem in zip(names, problems, strict=True):
        out.print(Text.assemble((name, "bold"), f"  {problem or done}"))
    raise typer.Exit(KNOWN_ERROR if any(problems) else OK)


def _reboot(
    world: World, repository: Repository, host: HostName, seconds: float
) -> None:
    revision = repository.current
    if revision is None:
        return
    desired = Evaluations(world).desired(revision, host)
    seen = look_at(world, desired, revision.checkout, policy=world.policy)
    began = world.monotonic()
    with world.history.lock(host):
        restart(
            world,
            desired,
            boot_id=seen.observed.boot_id,
            seconds=seconds,
            why=f"asked for by {actor()}",
        )
    if seconds:
        one_pass = HostPass(world, repository, Evaluations(world), Gate(Backoff()))
        left = max(0.0, seconds - (world.monotonic() - began))
        await_order(world, host, lambda: _ails(world, one_pass, host), seconds=left)


def _ails(world: World, one_pass: HostPass, host: HostName) -> str:
    """Make a pass; return what is wrong with the host after it."""
    try:
        one_pass.run(host)
    except HostBusyError as error:
        return str(error)
    status = {one.host: one for one in world.history.statuses()}.get(host)
    if status is None:
        return "nothing is known of it"
    return "" if status.in_sync else status.error or "it differs"
