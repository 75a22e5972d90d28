"""``reconciler reboot HOST…``: reboot, wait, deliver keys, see that all is well."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.text import Text

from reconciler.attempt import meet
from reconciler.attempt.reboot import DEADLINE, await_order
from reconciler.attempt.reboot import reboot as restart
from reconciler.cli.common import KNOWN_ERROR, OK, actor, out
from reconciler.cli.options import WHICH, complete_selection
from reconciler.cli.screen.progress import Progress
from reconciler.cli.worlds import for_each, hosts_reached, look, opened
from reconciler.errors import HostBusyError, ReconcilerError, StoppingError
from reconciler.loop import (
    Gate,
    HostPass,
    Running,
    deliver,
    look_at_running,
)
from reconciler.loop.queue import Backoff
from reconciler.model import DriftKind, HostName, Verdict
from reconciler.revisions import (
    Evaluations,
    Repository,
    Revision,
    UnknownSystemError,
)
from reconciler.world import World

_LEFT_ALONE = frozenset(
    {Verdict.HELD, Verdict.QUARANTINED, Verdict.BLOCKED, Verdict.UNADOPTED}
)


def reboot(
    context: typer.Context,
    hosts: Annotated[
        list[str],
        typer.Argument(
            metavar="HOST|@TAG|!HOST",
            help=f"These hosts: {WHICH}.",
            autocompletion=complete_selection,
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
    that came back. One that is held gets its keys too, and is judged by the system that
    it runs, not by the newest commit. Exit status: 0 every host is back and in sync, 1
    if not.

    ```
    reconciler reboot lufta
    reconciler reboot lufta keanu --no-wait
    ```
    """
    progress = Progress()
    with opened(context, asked=True, tell=progress.tell) as world:
        repository, revision = look(world)
        names = hosts_reached(world, revision, hosts)

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
    evaluations = Evaluations(world)
    desired = evaluations.desired(revision, host)
    seen = meet(world, desired, revision.checkout, policy=world.policy)
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
        return_to_order = _Return(
            world=world,
            repository=repository,
            evaluations=evaluations,
            one_pass=HostPass(world, repository, evaluations, Gate(Backoff())),
            host=host,
        )
        left = max(0.0, seconds - (world.monotonic() - began))
        await_order(world, host, return_to_order.ails, seconds=left)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Return:
    """What brings a host back to order that was booted anew."""

    world: World
    repository: Repository
    evaluations: Evaluations
    one_pass: HostPass
    host: HostName

    def ails(self) -> str:
        """
        Deliver keys, make a pass; return what is wrong with the host after it.

        A host that a pass must leave alone is judged by what it runs. Raises
        UnknownSystemError where nobody knows what that needs.
        """
        unknown, told = None, ""
        try:
            told = self._deliver()
        except StoppingError:
            raise
        except UnknownSystemError as error:
            unknown = error
        except ReconcilerError as error:
            told = str(error)
        try:
            self.one_pass.run(self.host)
        except HostBusyError as error:
            return str(error)
        return self._judged(told, unknown)

    def _judged(self, told: str, unknown: UnknownSystemError | None) -> str:
        status = {one.host: one for one in self.world.history.statuses()}.get(self.host)
        if status is None:
            return "nothing is known of it"
        if status.in_sync:
            return ""
        if status.reachable and status.verdict in _LEFT_ALONE:
            if unknown is not None:
                raise unknown
            return told
        return status.error or "it differs"

    def _deliver(self) -> str:
        """Deliver what the running system declares; return what is still wrong."""
        revision = self.repository.current
        if revision is None:
            return ""
        with ExitStack() as held:
            return self._deliver_what_differs(revision, held)

    def _deliver_what_differs(self, revision: Revision, held: ExitStack) -> str:
        world, evaluations = self.world, self.evaluations
        running = look_at_running(world, evaluations, revision, self.host, held)
        if running.differing:
            world.tell(self.host, "delivering keys")
            deliver(world, running, lambda line: world.tell(self.host, line))
            running = look_at_running(world, evaluations, revision, self.host, held)
        return running.problem or _told(running)


def _told(running: Running) -> str:
    """Say what differs from what the running system was declared as."""
    drifts = [drift for drift in running.seen.plan.drifts if drift.is_open]
    # What is no longer declared takes nothing from what runs.
    wrong = [one for one in drifts if one.kind is not DriftKind.KEY_EXTRA]
    return "; ".join(f"{one.kind.value} {one.subject}".strip() for one in wrong)


COMMANDS = {"reboot": reboot}
