"""``reconciler reboot HOST…``: reboot, wait, deliver keys, see that all is well."""

import time
from typing import Annotated

import typer
from rich.text import Text

from reconciler.cli.common import (
    KNOWN_ERROR,
    OK,
    choose_hosts,
    complete_hosts,
    err,
    out,
)
from reconciler.cli.worlds import for_each, look, opened
from reconciler.errors import ConnectError, ReconcilerError, RemoteError, TemporaryError
from reconciler.loop import Evaluations, Gate, HostPass, Repository, World
from reconciler.loop import look as look_at
from reconciler.loop.queue import Backoff
from reconciler.model import Desired, HostName

PAUSE = 0.5  # seconds between two looks
ASK_DEADLINE = 15.0


class RebootError(TemporaryError):
    """A host did not come back in order."""


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
    ] = 600.0,
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
    with opened(context, asked=True) as world:
        repository, revision = look(world)
        names = choose_hosts(hosts, revision.hosts)

        def one(host: HostName) -> str:
            try:
                _reboot(world, repository, host, deadline if wait else 0.0)
            except ReconcilerError as error:
                return str(error)
            return ""

        problems = for_each(world, names, one)
    done = "back and in sync" if wait else "rebooting"
    for name, problem in zip(names, problems, strict=True):
        out.print(Text.assemble((name, "bold"), f"  {problem or done}"))
    raise typer.Exit(KNOWN_ERROR if any(problems) else OK)


def _reboot(
    world: World, repository: Repository, host: HostName, deadline: float
) -> None:
    revision = repository.current
    if revision is None:
        return
    desired = Evaluations(world).desired(revision, host)
    seen = look_at(world, desired, revision.checkout, policy=world.policy)
    with world.history.lock(host):
        _ask(world, desired)
        world.history.event(
            now=world.now(), kind="reboot", host=host, text="asked for by a person"
        )
    if deadline:
        give_up = time.monotonic() + deadline
        _await_boot(world, desired, seen.observed.boot_id, give_up)
        _await_order(world, repository, host, give_up)


def _ask(world: World, desired: Desired) -> None:
    writer = world.connections.writer(desired.host, desired.target)
    try:
        # Not at once: the answer to this command must still reach us.
        argv = ("systemd-run", "--quiet", "--on-active=0.2", "systemctl", "reboot")
        writer.run(argv, what="reboot", deadline=ASK_DEADLINE)
    finally:
        world.connections.reconnect(desired.host)


def _await_boot(world: World, desired: Desired, old: str, give_up: float) -> None:
    script = "cat /proc/sys/kernel/random/boot_id"
    with err.status(f"{desired.host}: waiting for the new boot"):
        while time.monotonic() < give_up:
            reader = world.connections.reader(desired.host, desired.target)
            try:
                told = reader.read(script, what="boot id", deadline=ASK_DEADLINE)
                if told.strip() not in ("", old):
                    return
            except (ConnectError, RemoteError):
                world.connections.reconnect(desired.host)
            time.sleep(PAUSE)
    message = f"{desired.host}: did not boot in time; its boot id is still {old}"
    raise RebootError(message)


def _await_order(
    world: World, repository: Repository, host: HostName, give_up: float
) -> None:
    one_pass = HostPass(world, repository, Evaluations(world), Gate(Backoff()))
    while True:
        one_pass.run(host)
        status = {one.host: one for one in world.history.statuses()}.get(host)
        if status is not None and status.in_sync:
            return
        if time.monotonic() > give_up:
            told = status.error if status else "nothing is known of it"
            message = f"{host}: is back, but not in sync: {told}"
            raise RebootError(message)
        time.sleep(PAUSE)
