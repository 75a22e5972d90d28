"""What was recorded, for those who only read it."""

import contextlib
from collections.abc import Iterator

import typer

from reconciler.cli.common import chosen
from reconciler.history import History, read_history


@contextlib.contextmanager
def recorded(context: typer.Context) -> Iterator[History | None]:
    """Open history to read it; None if nothing was ever recorded."""
    history = read_history(chosen(context).settings().state)
    with contextlib.closing(history) if history else contextlib.nullcontext():
        yield history


def known_hosts(context: typer.Context) -> dict[str, tuple[str, ...]]:
    """Return the hosts that were looked at, with their tags."""
    with recorded(context) as history:
        statuses = history.statuses() if history else []
    return {one.host: one.tags for one in statuses}
