"""What is being done on which host, on standard error, while it is done."""

import contextlib
import sys
import threading
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from reconciler.cli.common import err
from reconciler.model import HostName

REFRESH = 8  # times a second


class Progress:
    """A table that lives while it changes, or a line for each change in a pipe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lives = err.is_terminal  # a terminal that is closed is none any more
        self._doing: dict[HostName, tuple[Text | Spinner, str]] = {}
        self._spinner = Spinner("dots")
        # On a terminal the table makes room for the results when all is done.
        self._live = Live(self, console=err, transient=True, refresh_per_second=REFRESH)

    def __enter__(self) -> Self:
        if self._lives:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lives:
            self._live.stop()

    def tell(self, host: HostName, what: str) -> None:
        """Hear what is being done on *host*; any thread may call this."""
        self._note(host, self._spinner, what)

    def ended(self, host: HostName, problem: str = "") -> None:
        """Hear that *host* is done with, and why it failed if it did."""
        mark = Text("✗", "red") if problem else Text("✓", "green")
        self._note(host, mark, f"failed: {problem}" if problem else "done")

    def _note(self, host: HostName, mark: Text | Spinner, what: str) -> None:
        with self._lock:
            self._doing[host] = (mark, what)
        if not self._lives:
            # That nobody listens any more is no reason to leave a host half-way.
            with contextlib.suppress(OSError):
                sys.stderr.write(f"{host}: {what}\n")
                sys.stderr.flush()

    def __rich__(self) -> Table:
        table = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(3):
            table.add_column(no_wrap=True, overflow="ellipsis")
        with self._lock:
            for host, (mark, what) in sorted(self._doing.items()):
                table.add_row(mark, Text(host, "bold"), Text(what.splitlines()[0]))
        return table
