"""
The command line: one module per subcommand, imported when it is called for.

Results go to standard output, everything else to standard error. Exit status: 0 done,
1 an error that the message explains, 2 differences were found (``plan``) or the command
was misused, 3 an unexpected error (a bug), 130 interrupted.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from reconciler.cli.common import INTERRUPTED, Chosen, fail, plain_text, stdout
from reconciler.cli.lazy import Subcommands
from reconciler.cli.screen.console import stand_up
from reconciler.cli.screen.log_format import LogFormat, configure
from reconciler.errors import ReconcilerError

DEFAULT_CONFIG = Path("/etc/reconciler/reconciler.yaml")

app = typer.Typer(
    name="reconciler",
    cls=Subcommands,
    help="""
    GitOps for NixOS fleets: what a nixos-configs repository says is what hosts run.

    Begin with `reconciler check`, look with `reconciler plan`, try one host with
    `reconciler apply HOST`, then let `reconciler run` do it at every push.
    """,
    epilog="`reconciler COMMAND --help` tells more, with examples.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:  # noqa: FBT001 -- called so by Typer
    if value:
        typer.echo(f"reconciler {metadata.version('reconciler')}")
        raise typer.Exit


@app.callback()
def choose(
    context: typer.Context,
    config: Annotated[
        Path,
        typer.Option(
            "-c",
            "--config",
            metavar="FILE",
            envvar="RECONCILER_CONFIG",
            help="The settings file.",
            show_default=True,
        ),
    ] = DEFAULT_CONFIG,
    log_format: Annotated[
        LogFormat,
        typer.Option(
            help="Logs go to standard error: for people on a terminal, else as JSON."
        ),
    ] = LogFormat.AUTO,
    *,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Log more of what is done.")
    ] = False,
    no_color: Annotated[
        bool,
        typer.Option("--no-color", help="No colours; NO_COLOR=1 does the same."),
    ] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Take the options that every subcommand shares."""
    if no_color:
        os.environ["NO_COLOR"] = "1"  # also for what we start
        plain_text()
    # A command for one look should not bury its answer in the log of the daemon.
    quiet = context.invoked_subcommand not in {"run", "worker"} and not verbose
    configure(log_format, quiet=quiet, verbose=verbose)
    context.obj = Chosen(config=config)


def main() -> None:
    """Run the command line and exit."""
    stand_up()
    with _interrupted_by(signal.SIGTERM, signal.SIGHUP):
        try:
            _run()
        except ReconcilerError as error:
            sys.exit(fail(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except Exception as error:  # noqa: BLE001 # the last place that can explain it
            sys.exit(fail(error))


def _run() -> None:
    """Run the command line to its end, which is when all is printed."""
    try:
        app(standalone_mode=True)
    except SystemExit:
        with contextlib.suppress(BrokenPipeError):  # whoever read it has enough
            stdout.flush()
        raise


@contextlib.contextmanager
def _interrupted_by(*numbers: signal.Signals) -> Iterator[None]:
    """
    Take these signals as a Ctrl-C, and die of them only then.

    At once, what we started would go on with nobody to end it.
    """
    struck: list[int] = []

    def strike(number: int, _frame: FrameType | None) -> None:
        struck.append(number)
        raise KeyboardInterrupt

    # nohup(1) has one of them ignored.
    ours = [one for one in numbers if signal.getsignal(one) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, strike)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        for got in struck:
            signal.raise_signal(got)
