"""The daemon: running it, and talking to one that runs on this machine."""

import time
from typing import Annotated

import typer

from reconciler.app import run_daemon
from reconciler.cli.client import Json, ask
from reconciler.cli.common import chosen, out, print_json, waiting
from reconciler.cli.options import AsJson, Why
from reconciler.errors import DaemonError
from reconciler.settings import Settings
from reconciler.settings.values import DURATION_FORMS, positive_duration


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


STEP = 30.0
"""Seconds that one request waits at most."""


def duration(text: str) -> float:
    """Return the seconds that *text* means. Raises BadParameter."""
    try:
        return positive_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def sync(
    context: typer.Context,
    *,
    wait: Annotated[
        bool,
        typer.Option("--wait", "-w", help="Wait until the repository was read."),
    ] = False,
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
    `reconciler status`.

    ```
    git push && reconciler sync --wait
    reconciler sync --reason "the forge was away"
    ```
    """
    settings = chosen(context).settings()
    asked = ask(settings, "POST", "/sync", body={"reason": reason})
    if not wait:
        _tell(asked, as_json=as_json, text="The repository is read now.")
        return
    with waiting("waiting for the repository to be read"):
        found = _await(settings, asked["token"], timeout)
    if found["error"]:
        if as_json:
            print_json(found)
        raise DaemonError(found["error"])
    commit = found["commit"] or ""
    _tell(found, as_json=as_json, text=f"The newest commit is {commit[:8]}.")


def looked(settings: Settings, seconds: float) -> Json:
    """Have the repository read, and return how that ended. Raises DaemonError."""
    asked = ask(settings, "POST", "/sync", body={"reason": ""})
    with waiting("waiting for the repository to be read"):
        return _await(settings, asked["token"], seconds)


def _await(settings: Settings, token: str, seconds: float) -> Json:
    """Return how the look of *token* ended. Raises DaemonError if it did not."""
    give_up = time.monotonic() + seconds
    while True:
        left = max(0.0, give_up - time.monotonic())
        step = min(left, STEP)
        path = f"/sync/{token}?timeout={step:.3f}"
        found = ask(settings, "GET", path, seconds=step + 10.0)
        if found["done"]:
            return found
        if left <= 0:
            message = f"the repository was not read within {seconds:g} s"
            raise DaemonError(message)


def _tell(told: Json, *, as_json: bool, text: str) -> None:
    if as_json:
        print_json(told)
    else:
        out.print(text)


COMMANDS = {"run": run, "sync": sync}
