"""What was recorded, for those who only read it."""

import contextlib
from collections.abc import Iterator

import typer

from reconciler.cli.common import chosen
from reconciler.history import History


@contextlib.contextmanager
def recorded(context: typer.Context) -> Iterator[History | None]:
    """Open history to read it; None if nothing was ever recorded."""
    path = chosen(context).settings().state / "history.sqlite"
    if not path.exists():
        yield None
        return
    with contextlib.closing(History.open(path, read_only=True)) as history:
        yield history


def known_hosts(context: typer.Context) -> dict[str, tuple[str, ...]]:
    """Return the hosts that were looked at, with their tags."""
    with recorded(context) as history:
        statuses = history.statuses() if history else []
    return {one.host: one.tags for one in statuses}
