"""A connection of psycopg that does not wait for an answer for ever."""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg.abc import Buffer
from psycopg.rows import TupleRow
from psycopg.types.string import StrDumperUnknown
from typing_extensions import override

ANSWER_SECONDS = 60.0
"""A PostgreSQL that is silent for so long is frozen, or the network is cut."""

Row = TypeVar("Row")


class _Texts(StrDumperUnknown):
    """As psycopg gives texts to PostgreSQL, which keeps no NUL; a host may say one."""

    @override
    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", r"\x00"))


class AnsweringConnection(psycopg.Connection[TupleRow]):
    """Raises OperationalError, and is closed, where an answer takes too long."""

    answer_seconds = ANSWER_SECONDS

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.adapters.register_dumper(str, _Texts)

    @override
    def wait(
        self, gen: Generator[Any, Any, Row], *args: object, **kwargs: object
    ) -> Row:
        bounded = _bounded(gen, self, time.monotonic() + self.answer_seconds)
        wait: Any = super().wait
        found: Row = wait(bounded, *args, **kwargs)
        return found


def _bounded(
    generator: Generator[Any, Any, Row],
    connection: AnsweringConnection,
    deadline: float,
) -> Generator[Any, Any, Row]:
    """Do as *generator* does, which is asked now and then, until the *deadline*."""
    try:
        wanted = next(generator)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > deadline:
                connection.pgconn.finish()
                message = f"no answer within {connection.answer_seconds:g} s"
                raise psycopg.OperationalError(message)
            wanted = generator.send(ready)
    except StopIteration as end:
        found: Row = end.value
        return found
