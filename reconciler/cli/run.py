"""``reconciler run``: the daemon."""

import typer

from reconciler.app import run_daemon
from reconciler.cli.common import chosen


def register(app: typer.Typer) -> None:
    """Add the subcommand."""
    app.command()(run)


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
