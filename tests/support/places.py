"""Where a test has its history: in SQLite, or in a real PostgreSQL."""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from reconciler.history import History, open_history
from reconciler.history.migrate import versions
from reconciler.history.schema import metadata
from reconciler.settings import StateSettings

TABLES = {*metadata.tables, versions.name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A database, empty when the test begins, and the folder beside it."""

    folder: Path
    url: str | None = None

    @property
    def words(self) -> str:
        """Return the settings of it, for a process."""
        return self._state.model_dump_json()

    @property
    def _state(self) -> StateSettings:
        return StateSettings(path=self.folder, database=self.url)

    def open(self, *, read_only: bool = False) -> History:
        """Open it as another process would."""
        return open_history(self._state, read_only=read_only)

    @contextlib.contextmanager
    def opened(self) -> Iterator[History]:
        """Open it, and close it at the end."""
        with contextlib.closing(self.open()) as history:
            yield history

    def run(self, sql: str) -> list[tuple[object, ...]]:
        """Do what we never would; return its rows."""
        if self.url is None:
            with contextlib.closing(
                sqlite3.connect(self.folder / "history.sqlite")
            ) as there:
                rows = there.execute(sql).fetchall()
                there.commit()
            return rows
        with psycopg.connect(self.url, autocommit=True) as there:
            found = there.execute(sql)
            return found.fetchall() if found.description else []


def emptied(url: str) -> str:
    """Empty a database that other tests have used: sooner done than a new one."""
    with psycopg.connect(url, autocommit=True) as there:
        rows = there.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname='public'"
        )
        tables = {str(name) for (name,) in rows}
        if tables == TABLES:
            names = ", ".join(f'"{name}"' for name in sorted(metadata.tables))
            there.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")  # type: ignore[call-overload]
        else:
            there.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return url
