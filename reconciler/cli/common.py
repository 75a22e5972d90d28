"""What all subcommands share: settings, consoles, errors. Imports little."""

import difflib
import json
import os
import pwd
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.status import Status
from rich.text import Text

from reconciler.cli.screen.console import Comments, Output, Screen
from reconciler.errors import (
    GoneHostError,
    HostKeyError,
    ReconcilerError,
    SettingsError,
    UnknownHostError,
)
from reconciler.settings import Settings, load
from reconciler.settings.values import positive_duration

OK, KNOWN_ERROR, DIFFERENCES, BUG, INTERRUPTED = 0, 1, 2, 3, 130

stdout = Output("stdout")
out, err = Screen(stdout), Screen(Comments("stderr"))


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


def actor() -> str:
    """Return who gives the order, as far as the system knows."""
    if name := os.environ.get("SUDO_USER"):
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def require_yes(question: str, *, yes: bool) -> None:
    """
    Ask a person at a terminal; end the command unless the answer is yes.

    A program that gives the command is not asked, nor one who said *yes* beforehand.
    """
    if yes or not sys.stdin.isatty():
        return
    if not typer.confirm(question, err=True):
        err.print("Nothing was recorded.")
        raise typer.Exit(KNOWN_ERROR)


def duration(text: str | None) -> float | None:
    """Return the seconds that a person wrote, ``2h``. Raises BadParameter."""
    if text is None:
        return None
    try:
        return positive_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


# --- talking ---------------------------------------------------------------------


def plain_text() -> None:
    """Print without colours from now on."""
    out.no_color = err.no_color = True


def print_json(value: object) -> None:
    """
    Print *value* as the JSON that programs read.

    In ASCII alone, so that no terminal takes a part of it for its own.
    """
    stdout.write(json.dumps(value, indent=2) + "\n")


def waiting(text: str) -> Status:
    """Tell a person at a terminal what is waited for."""
    return err.status(Text(text))


def warn(text: str) -> None:
    """Print a warning for a person."""
    err.print(Text.assemble(("warning:", "yellow"), " ", text), soft_wrap=True)


def fail(error: Exception) -> int:
    """Print *error* for a person; return the exit status."""
    if isinstance(error, ReconcilerError):
        err.print(Text.assemble(_ERROR, " ", str(error)), soft_wrap=True)
        if hint := _hint(error):
            err.print(Text.assemble(("hint:", "cyan"), " ", hint), soft_wrap=True)
        return KNOWN_ERROR
    err.print(Text.assemble(_ERROR, " this is a bug in reconciler; please report:"))
    err.print("".join(traceback.format_exception(error)), soft_wrap=True)
    return BUG


_ERROR = ("error:", "bold red")


def _hint(error: ReconcilerError) -> str:
    """Say what to do about *error*, where the message itself does not."""
    match error:
        case GoneHostError():
            return ""
        case UnknownHostError():
            near = difflib.get_close_matches(error.host, error.known, n=1)
            return f"did you mean {near[0]}?" if near else ""
        case HostKeyError() if "reconciler trust" not in str(error):
            return f"if that is right, run: reconciler trust {error.host}"
        case _:
            return ""
