"""The door out: what is printed, where it cannot be, and what no terminal gets."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterable, Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from typing_extensions import override

from reconciler.errors import OutputError
from reconciler.printable import printable

UNLIMITED = 100_000
"""Columns of a pipe: whoever reads it wants whole lines."""


class Output:
    """Standard output or error, whichever stream it is just now."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def encoding(self) -> str:
        """Return how text is encoded."""
        return str(getattr(self._stream, "encoding", None) or "utf-8")

    def write(self, text: str) -> int:
        """Write *text*. Raises OutputError, and BrokenPipeError."""
        with self._in_our_words():
            return int(self._stream.write(text))

    def flush(self) -> None:
        """Write what waits. Raises as `write` does."""
        with self._in_our_words():
            self._stream.flush()

    def isatty(self) -> bool:
        """Say whether it is a terminal."""
        stream = getattr(sys, self.name)
        # There is none before `stand_up`, if we were started without it.
        return stream is not None and bool(stream.isatty())

    def fileno(self) -> int:
        """Return its number."""
        return int(self._stream.fileno())

    @property
    def _stream(self) -> io.TextIOBase:
        stream = getattr(sys, self.name)
        # While a spinner turns, Rich stands there, and hands on to us.
        found: io.TextIOBase = getattr(stream, "rich_proxied_file", stream)
        return found

    @contextlib.contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise  # whoever read it has enough
        except OSError as error:
            self._give_up()
            raise OutputError(self.name, error.strerror or str(error)) from error

    def _give_up(self) -> None:
        """Let what still waits go nowhere, or the end would fail by it once more."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)


class Comments(Output):
    """Standard error: that nobody hears is no reason to stop."""

    @override
    def write(self, text: str) -> int:
        with contextlib.suppress(OutputError, BrokenPipeError):
            return super().write(text)
        return len(text)

    @override
    def flush(self) -> None:
        with contextlib.suppress(OutputError, BrokenPipeError):
            super().flush()


class Screen(Console):
    """Prints text as it is, never as markup, and nothing that a terminal obeys."""

    def __init__(self, output: Output) -> None:
        super().__init__(
            file=output,  # type: ignore[arg-type] # all that Rich uses of a stream
            highlight=False,
            markup=False,
            emoji=False,
            width=None if output.isatty() else UNLIMITED,
        )

    @override
    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield what is to be printed; see `printable`."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


def stand_up() -> None:
    """
    Make the three streams fit to be used, whatever we were started with.

    A closed one is opened again: its number would go to the next file that is opened.
    What cannot be said in the terminal's encoding becomes a question mark.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            os.open(os.devnull, mode)  # to write to it fails, as it should
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 -- by number
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
