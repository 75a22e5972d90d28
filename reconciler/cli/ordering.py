"""What the subcommands share that give orders: hold, release, retry, approve."""

import contextlib
import os
import pwd
from collections.abc import Iterator, Mapping, Sequence

import typer
from rich.text import Text

from reconciler.app import make_state
from reconciler.cli.common import chosen, now, out, print_json
from reconciler.cli.worlds import look, opened
from reconciler.errors import ReconcilerError, UnknownHostError
from reconciler.history import History
from reconciler.loop import Orders, select
from reconciler.model import HostName
from reconciler.settings.values import positive_duration


def actor() -> str:
    """Return who gives the order, as far as the system knows."""
    if name := os.environ.get("SUDO_USER"):
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


@contextlib.contextmanager
def ordering(context: typer.Context) -> Iterator[Orders]:
    """Open history to write orders into it. Raises SettingsError, StateError."""
    state = chosen(context).settings().state
    make_state(state)
    with contextlib.closing(History.open(state / "history.sqlite")) as history:
        yield Orders(history=history, now=now(), actor=actor())


def choose(
    context: typer.Context,
    orders: Orders,
    names: Sequence[str] | None,
    *,
    everything: bool,
) -> list[HostName]:
    """
    Return the hosts that an order is about; a person must say which.

    The repository is asked only for a name that nothing is known of yet. Raises
    UnknownHostError.
    """
    if bool(names) == everything:
        message = "name hosts or @tags, or say --all"
        raise typer.BadParameter(message, param_hint="HOST|@TAG")
    known = orders.hosts()
    if not names:
        return sorted(known) or _declared(context)
    try:
        return select(names, known)
    except UnknownHostError as error:
        more = dict.fromkeys(_declared(context, error), ())
        return select(names, {**more, **known})


def _declared(
    context: typer.Context, error: UnknownHostError | None = None
) -> list[HostName]:
    """Return the hosts of the newest commit; raise *error* where it cannot be read."""
    try:
        with opened(context) as world:
            return list(look(world)[1].hosts)
    except ReconcilerError:
        if error is not None:
            raise error from None
        raise


def duration(text: str | None) -> float | None:
    """Return the seconds that a person wrote, ``2h``. Raises BadParameter."""
    if text is None:
        return None
    try:
        return positive_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def show_done(
    done: Mapping[HostName, bool], *, key: str, yes: str, no: str, as_json: bool
) -> None:
    """Say of each host whether the order changed anything, in the words *yes*, *no*."""
    if as_json:
        print_json([{"host": host, key: was} for host, was in done.items()])
        return
    for host, was in done.items():
        out.print(Text.assemble((host, "bold"), f"  {yes if was else no}"))
