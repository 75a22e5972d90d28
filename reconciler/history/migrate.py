"""Bring the schema of a database up to date, or refuse the database."""

import logging
import sys
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    inspect,
    select,
)

from reconciler.errors import StateError
from reconciler.history.database import Database
from reconciler.history.schema import FIRST, REVISION, metadata

MIGRATIONS = Path(__file__).parent / "migrations"

versions = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""Alembic's own table, as it makes it."""


class UnusedError(StateError):
    """Nothing was ever recorded in this database."""


def bring_up_to_date(database: Database) -> None:
    """
    Run the migrations that are missing, all or none, and keep a copy from before.

    Raises StateError for a database of a newer version or of another program.
    """
    with database.reading() as connection:
        found = _revision(connection, database.name)
    if found == REVISION:
        return
    # Another process may have been quicker: look again with the write lock held.
    with database.writing(durable=True) as connection:
        found = _revision(connection, database.name)
        if not found:
            create(connection)
        elif found != REVISION:
            # Nobody writes meanwhile, and who reads sees what was there before.
            database.copy_to(f"schema-{found}")
            upgrade(connection)


def require_current(database: Database) -> None:
    """Raise StateError unless *database* can be read as it is."""
    with database.reading() as connection:
        found = _revision(connection, database.name)
    if not found:
        message = f"{database.name} is empty: start the daemon, which makes its tables"
        raise UnusedError(message)
    if found != REVISION:
        message = (
            f"{database.name} has schema {found}, this version reads"
            f" {REVISION}: start the daemon once to bring it up to date"
        )
        raise StateError(message)


def _revision(connection: Connection, name: str) -> str:
    """Return the schema's revision, empty for a new database."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return ""
    found = None
    if versions.name in tables:
        found = connection.execute(select(versions.c.version_num)).scalar_one_or_none()
    if found is None or not found.isdecimal():
        message = f"{name} is the database of another program: name another path"
        raise StateError(message)
    if found < FIRST:
        message = (
            f"{name} was written before the first release (schema {found}): stop the"
            " reconciler, and move it away to begin a new history"
        )
        raise StateError(message)
    if found > REVISION:
        message = (
            f"{name} was written by a newer version (schema {found}, this version"
            f" knows up to {REVISION}): install that version again"
        )
        raise StateError(message)
    return str(found)


def create(connection: Connection) -> None:
    """Make the newest schema in an empty database; a test holds it to `upgrade`."""
    metadata.create_all(connection, checkfirst=False)
    versions.create(connection)
    connection.execute(insert(versions).values(version_num=REVISION))


def upgrade(connection: Connection, *, to: str = "head") -> None:
    """Run the migrations that are missing, up to a revision."""
    # Alembic costs 10 MB and a fifth of a second, and is needed once in a while.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config(stdout=sys.stderr)  # stdout belongs to the command line
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, to)
