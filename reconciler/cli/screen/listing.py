"""Tables that stay readable on a narrow terminal, and leave no blanks at line ends."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

GAP = 2  # columns between two cells
NARROWEST = 8  # columns that a cell which gives way keeps
READABLE = 24  # columns below which a paragraph gets lines of its own
INDENT = 4  # columns that a note stands in
WIDE = 200  # columns that a paragraph has at most, also in a pipe, which has no end


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table, and what is to be said below it."""

    cells: tuple[str | Text, ...]
    note: Text | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """
    Rows under titles, each on one line.

    Where the terminal is too narrow, the columns of *give_way* are cut, one after the
    other. A note is a paragraph of its own, so that an error of any length does not
    squeeze the table.
    """

    titles: tuple[str, ...]
    rows: list[Row]
    give_way: tuple[int, ...] = (-1, 0)

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        limit = options.max_width
        widths = self._widths(limit)
        yield _line([Text(title, "bold") for title in self.titles], widths, limit)
        for row in self.rows:
            yield _line([_text(cell) for cell in row.cells], widths, limit)
            if row.note is not None:
                for line in _wrapped(row.note, console, limit - INDENT):
                    yield _indented(line, INDENT)

    def _widths(self, limit: int) -> list[int]:
        widths = _widths([self.titles, *(row.cells for row in self.rows)])
        for column in self.give_way:
            over = sum(widths) + GAP * (len(widths) - 1) - limit
            if over > 0:
                most = widths[column]
                widths[column] = min(most, max(NARROWEST, most - over))
        return widths


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraphs:
    """
    Rows of short cells and one long text each, which is wrapped between words.

    It stands beside the cells, or below them where too little room is left.
    """

    rows: Sequence[tuple[str | Text, ...]]  # the last cell is the text

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        limit = options.max_width
        widths = _widths([row[:-1] for row in self.rows])
        beside = sum(widths) + GAP * len(widths)
        indent = beside if limit - beside >= READABLE else INDENT + GAP
        for row in self.rows:
            head = _line([_text(cell) for cell in row[:-1]], widths, limit)
            lines = _wrapped(_text(row[-1]), console, limit - indent)
            if indent == beside and lines:
                head.pad_right(beside - head.cell_len)
                head.append_text(lines.pop(0))
            yield head
            for line in lines:
                yield _indented(line, indent)


def _widths(rows: Sequence[tuple[str | Text, ...]]) -> list[int]:
    columns = zip(*rows, strict=True)
    return [max(_text(cell).cell_len for cell in column) for column in columns]


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)


def _line(cells: list[Text], widths: list[int], limit: int) -> Text:
    line = Text(no_wrap=True)
    for cell, width in zip(cells, widths, strict=True):
        fitted = cell.copy()
        fitted.truncate(width, overflow="ellipsis", pad=True)
        line.append_text(fitted)
        line.append(" " * GAP)
    line.rstrip()
    line.truncate(limit, overflow="ellipsis")
    return line


def _wrapped(text: Text, console: Console, width: int) -> list[Text]:
    fitting = max(READABLE, min(width, WIDE))
    lines = list(text.wrap(console, fitting, overflow="fold"))
    for line in lines:
        line.rstrip()
    return lines


def _indented(line: Text, columns: int) -> Text:
    return Text(" " * columns).append_text(line)
