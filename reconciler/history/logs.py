"""
The log of an attempt, bounded: how it began and how it ended are kept.

A switch that prints without end fills neither the disk nor memory. The first lines
stay up to `HEAD` bytes; of the rest, the last `TAIL` bytes. Lines keep their numbers,
so a gap in the numbers tells how many were left out.
"""

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection, Row, delete, insert, select, update

from reconciler.errors import UnknownAttemptError
from reconciler.history.records import clean
from reconciler.history.schema import attempts, log_lines

HEAD = 512 * 1024
TAIL = 512 * 1024
LINE = 16 * 1024  # characters of one line


def append(
    connection: Connection, attempt_id: str, lines: Sequence[str], *, now: float
) -> None:
    """Add *lines* to the log of an attempt. Raises UnknownAttemptError."""
    book = _book(connection, attempt_id)
    fresh = [(len(text.encode()) + 1, text) for text in _whole_lines(lines)]
    if not fresh:
        return
    rows = [
        {"attempt": book["seq"], "position": at, "at": now, "size": size, "text": text}
        for at, (size, text) in enumerate(fresh, book["log_lines"])
    ]
    _count(book, [size for size, _ in fresh])
    connection.execute(insert(log_lines), rows)
    if book["log_tail_size"] > TAIL:
        _trim(connection, book)
    columns = {name: size for name, size in book.items() if name != "seq"}
    connection.execute(
        update(attempts).where(attempts.c.seq == book["seq"]).values(**columns)
    )


def read(connection: Connection, attempt_id: str) -> list[str]:
    """Return the lines of an attempt. Raises UnknownAttemptError."""
    book = _book(connection, attempt_id)
    query = (
        select(log_lines.c.position, log_lines.c.text)
        .where(log_lines.c.attempt == book["seq"])
        .order_by(log_lines.c.position)
    )
    return list(_with_gaps(connection.execute(query), book["log_lines"]))


def _book(connection: Connection, attempt_id: str) -> dict[str, int]:
    query = select(
        attempts.c.seq,
        attempts.c.log_lines,
        attempts.c.log_head_lines,
        attempts.c.log_head_size,
        attempts.c.log_tail_size,
    ).where(attempts.c.id == attempt_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise UnknownAttemptError(attempt_id)
    return {str(name): int(value) for name, value in row.items()}


def _whole_lines(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        for part in clean(line).split("\n"):
            over = len(part) - LINE
            yield part if over <= 0 else f"{part[:LINE]}… ({over} more characters)"


def _count(book: dict[str, int], sizes: Sequence[int]) -> None:
    """Book lines of these *sizes* (bytes with newline) as head, or else as tail."""
    for size in sizes:
        in_head = book["log_lines"] == book["log_head_lines"]
        book["log_lines"] += 1
        if in_head and book["log_head_size"] + size <= HEAD:
            book["log_head_lines"] += 1
            book["log_head_size"] += size
        else:
            book["log_tail_size"] += size


def _trim(connection: Connection, book: dict[str, int]) -> None:
    """Delete the first lines of the tail until the rest is small enough."""
    in_tail = (
        log_lines.c.attempt == book["seq"],
        log_lines.c.position >= book["log_head_lines"],
    )
    query = select(log_lines.c.position, log_lines.c.size).where(*in_tail)
    first = book["log_head_lines"]
    for position, size in connection.execute(query.order_by(log_lines.c.position)):
        if book["log_tail_size"] <= TAIL:
            break
        book["log_tail_size"] -= size
        first = position + 1
    connection.execute(delete(log_lines).where(*in_tail, log_lines.c.position < first))


def _with_gaps(rows: Iterable[Row[int, str]], total: int) -> Iterator[str]:
    expected = 0
    for position, text in rows:
        yield from _gap(position - expected)
        yield text
        expected = position + 1
    # An attempt whose log was pruned has no line at all: that is no gap.
    if expected:
        yield from _gap(total - expected)


def _gap(count: int) -> Iterator[str]:
    if count > 0:
        yield f"… {count} lines left out …"
