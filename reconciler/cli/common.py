"""What all subcommands share: settings, consoles, errors. Imports little."""

import contextlib
import difflib
import json
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from reconciler.errors import (
    HostKeyError,
    ReconcilerError,
    SettingsError,
    UnknownHostError,
)
from reconciler.history import History
from reconciler.model import HostName, HostStatus
from reconciler.settings import Settings, load

OK, KNOWN_ERROR, DIFFERENCES, BUG, INTERRUPTED = 0, 1, 2, 3, 130

WIDE = 200  # columns where no terminal says how many it has: a pipe wants whole words

out = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the options before the subcommand chose."""

    config: Path

    def settings(self) -> Settings:
        """Read the settings file. Raises SettingsError."""
        if not self.config.exists():
            message = (
                f"{self.config}: there is no such file; name the settings with"
                " `reconciler -c FILE` or RECONCILER_CONFIG"
            )
            raise SettingsError(message)
        return load(self.config)


def chosen(context: typer.Context) -> Chosen:
    """Return what the options before the subcommand chose."""
    found = context.find_object(Chosen)
    if found is None:
        raise typer.Exit(BUG)
    return found


def now() -> float:
    """Return the time, in seconds since the epoch, to say how long ago things were."""
    return time.time()  # noqa: TID251 -- what is shown is decided nowhere else


# --- talking ---------------------------------------------------------------------


def plain_text() -> None:
    """Print without colours from now on."""
    out.no_color = err.no_color = True


def print_json(value: object) -> None:
    """Print *value* as the JSON that programs read."""
    out.print_json(json.dumps(value))


def warn(text: str) -> None:
    """Print a warning for a person."""
    err.print(f"[yellow]warning:[/] {_plain(text)}", soft_wrap=True)


def fail(error: Exception) -> int:
    """Print *error* for a person; return the exit status."""
    if isinstance(error, ReconcilerError):
        err.print(f"[bold red]error:[/] {_plain(str(error))}", soft_wrap=True)
        if hint := _hint(error):
            err.print(f"[cyan]hint:[/] {_plain(hint)}", soft_wrap=True)
        return KNOWN_ERROR
    err.print("[bold red]error:[/] this is a bug in reconciler; please report:")
    err.print(_plain("".join(traceback.format_exception(error))), soft_wrap=True)
    return BUG


def _hint(error: ReconcilerError) -> str:
    """Say what to do about *error*, where the message itself does not."""
    match error:
        case UnknownHostError():
            near = difflib.get_close_matches(error.host, error.known, n=1)
            return f"did you mean {near[0]}?" if near else ""
        case HostKeyError() if "reconciler trust" not in str(error):
            return f"if that is right, run: reconciler trust {error.host}"
        case _:
            return ""


def _plain(text: str) -> str:
    """Keep Rich from reading markup in text that comes from elsewhere."""
    return text.replace("[", "\\[")


# --- what was recorded -----------------------------------------------------------


@contextlib.contextmanager
def recorded(context: typer.Context) -> Iterator[History | None]:
    """Open history to read it; None if nothing was ever recorded."""
    path = chosen(context).settings().state / "history.sqlite"
    if not path.exists():
        yield None
        return
    with contextlib.closing(History.open(path, read_only=True)) as history:
        yield history


def complete_hosts(context: typer.Context, incomplete: str) -> list[str]:
    """Return the known hosts that begin with *incomplete*, for shell completion."""
    names = [one.host for one in _statuses(context)]
    return [name for name in names if name.startswith(incomplete)]


def complete_selection(context: typer.Context, incomplete: str) -> list[str]:
    """Do the same for hosts and ``@tags``."""
    statuses = _statuses(context)
    tags = {f"@{tag}" for one in statuses for tag in one.tags}
    names = [*(one.host for one in statuses), *sorted(tags)]
    return [name for name in names if name.startswith(incomplete)]


def _statuses(context: typer.Context) -> list[HostStatus]:
    config = context.parent.params.get("config") if context.parent else None
    if config is None:
        return []
    context.obj = Chosen(config=Path(config))
    try:
        with recorded(context) as history:
            return history.statuses() if history else []
    except ReconcilerError:
        return []


def choose_hosts(
    names: Iterable[str] | None, known: tuple[HostName, ...]
) -> list[HostName]:
    """Return the hosts that a person named, all if none. Raises UnknownHostError."""
    wanted = list(names or known)
    for name in wanted:
        if name not in known:
            raise UnknownHostError(name, known=known)
    return sorted({HostName(name) for name in wanted})


# --- options ---------------------------------------------------------------------

Hosts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="HOST",
        help="Only these hosts; all of them by default.",
        autocompletion=complete_hosts,
        show_default=False,
    ),
]

Host = Annotated[
    str,
    typer.Argument(
        metavar="HOST",
        help="The host, by its name in the repository.",
        autocompletion=complete_hosts,
        show_default=False,
    ),
]

Selection = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="HOST|@TAG",
        help="These hosts, and those with these tags.",
        autocompletion=complete_selection,
        show_default=False,
    ),
]

Everything = Annotated[bool, typer.Option("--all", help="All hosts.")]

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

Why = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, for the audit log.")
]
