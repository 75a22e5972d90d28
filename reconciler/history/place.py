"""Where history is, by the settings."""

from reconciler.history.migrate import UnusedError
from reconciler.history.store import History
from reconciler.settings import StateSettings

FILE = "history.sqlite"  # in the state directory


def open_history(state: StateSettings, *, read_only: bool = False) -> History:
    """Open history where *state* has it. Raises StateError, as `History.open` does."""
    return History.open(
        state.database or state.path / FILE,
        read_only=read_only,
        locks=state.path / "locks",
    )


def read_history(state: StateSettings) -> History | None:
    """Open history to read it; None if nothing was ever recorded. Raises StateError."""
    if state.database is None and not (state.path / FILE).exists():
        return None
    try:
        return open_history(state, read_only=True)
    except UnusedError:
        return None
