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
    Metrics and health are at `http.listen` of the settings.

    ```
    reconciler -c /etc/reconciler/reconciler.yaml run
    curl http://127.0.0.1:9876/healthz
    ```
    """
    raise typer.Exit(run_daemon(chosen(context).settings()))
