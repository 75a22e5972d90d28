"""The daemon: running it, and talking to one that runs on this machine."""

import enum
import time
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typing_extensions import override

from reconciler.cli.client import Json, ask
from reconciler.cli.common import chosen, out, print_json, waiting
from reconciler.cli.looks import await_look, duration
from reconciler.cli.options import AsJson, Why
from reconciler.cli.wait import newest_in, wait_for
from reconciler.errors import DaemonError
from reconciler.serve import run_daemon, run_worker
from reconciler.settings.values import DURATION_FORMS


def run(context: typer.Context) -> None:
    """
    Run the daemon: watch the repository, keep hosts as it says.

    Stops on SIGTERM or Ctrl-C: it starts nothing new and waits for what is under way.
    Metrics, health, webhooks and the API are at `http.listen` of the settings. A
    changed settings file is read again by itself, and at SIGHUP; a wrong one is
    refused, and the old settings stay.

    ```
    reconciler -c /etc/reconciler/reconciler.yaml run
    curl http://127.0.0.1:9876/healthz
    ```
    """
    given = chosen(context)
    raise typer.Exit(run_daemon(given.settings(), file=given.config))


def worker(context: typer.Context) -> None:
    """
    Run one of several workers that share the hosts.

    As `reconciler run`, on as many machines as wanted, with the same `state.database`
    (docs/workers.md). Each has a state directory and an `http.listen` of its own. A
    worker that ends, or is silent for 7 s, leaves its hosts to the others.

    ```
    reconciler -c /etc/reconciler/reconciler.yaml worker
    reconciler workers
    ```
    """
    given = chosen(context)
    raise typer.Exit(run_worker(given.settings(), file=given.config))


class SyncWait(enum.Enum):
    """What is waited for."""

    REPOSITORY = "repository"
    HOSTS = "hosts"


def sync(
    context: typer.Context,
    *,
    wait: Annotated[
        SyncWait | None,
        typer.Option(
            "--wait",
            "-w",
            metavar="[=hosts]",
            help="Wait until the repository was read; with `=hosts`, until hosts run"
            " the newest commit.",
            show_choices=False,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            help=f"How long to wait at most: {DURATION_FORMS}.",
        ),
    ] = "5m",  # type: ignore[assignment] # it goes through the parser as well
    reason: Why = "",
    as_json: AsJson = False,
) -> None:
    """
    Have the daemon read the repository now.

    That is the daemon on this machine. With `--wait`, the command ends once the
    repository was read by a look that began after the command, so whatever was pushed
    before is in it. It prints the commit that hosts are brought to since then, and has
    exit status 1, with the reason, if that is not the newest one. Hosts follow; see
    `reconciler status`. With `--wait=hosts` it goes on as `reconciler wait` does, with
    its exit status: 0 all hosts run the commit, 1 it failed, 2 the time is up, 3 a
    person is asked.

    ```
    git push && reconciler sync --wait
    git push && reconciler sync --wait=hosts --timeout 15m
    reconciler sync --reason "the forge was away"
    ```
    """
    settings = chosen(context).settings()
    give_up = time.monotonic() + timeout
    asked = ask(settings, "POST", "/sync", body={"reason": reason})
    if wait is None:
        _tell(asked, as_json=as_json, text="The repository is read now.")
        return
    with waiting("waiting for the repository to be read"):
        found = await_look(settings, asked["token"], timeout)
    if wait is SyncWait.HOSTS:
        name = newest_in(settings, found)
        raise typer.Exit(wait_for(settings, name, [], give_up, as_json=as_json))
    if found["error"]:
        if as_json:
            print_json(found)
        raise DaemonError(found["error"])
    commit = found["commit"] or ""
    _tell(found, as_json=as_json, text=f"The newest commit is {commit[:8]}.")


def _tell(told: Json, *, as_json: bool, text: str) -> None:
    if as_json:
        print_json(told)
    else:
        out.print(text)


class _SyncCommand(TyperCommand):
    """Typer knows no option whose value may be left out."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take *args*; ``--wait`` alone waits for the repository."""
        whole = f"--wait={SyncWait.REPOSITORY.value}"
        args = [whole if word in {"--wait", "-w"} else word for word in args]
        return super().parse_args(ctx, args)


_sync = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
_sync.command("sync", cls=_SyncCommand)(sync)

COMMANDS = {"run": run, "sync": _sync, "worker": worker}
