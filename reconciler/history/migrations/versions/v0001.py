"""Attempts with steps and log, statuses, machines, commits, evaluations, events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _attempts()
    _parts_of_attempts()
    _hosts()
    _commits_and_evaluations()
    _events()


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("commit_id", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("source", sa.Text),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("began_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.Column("outcome", sa.Text),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("log_lines", sa.Integer, nullable=False),
        sa.Column("log_head_lines", sa.Integer, nullable=False),
        sa.Column("log_head_size", sa.Integer, nullable=False),
        sa.Column("log_tail_size", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("attempts_of_host", "attempts", ["host", "seq"])
    op.create_index("attempts_unfinished", "attempts", ["outcome", "seq"])


def _parts_of_attempts() -> None:
    op.create_table(
        "steps",
        _attempt(),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("began_at", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_table(
        "log_lines",
        _attempt(),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )


def _attempt() -> sa.Column[int]:
    owner = sa.ForeignKey("attempts.seq", ondelete="CASCADE")
    return sa.Column("attempt", sa.Integer, owner, primary_key=True)


def _hosts() -> None:
    op.create_table(
        "statuses",
        sa.Column("host", sa.Text, primary_key=True),
        sa.Column("commit_id", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
        sa.Column("verdict", sa.Text),
        sa.Column("reachable", sa.Boolean, nullable=False),
        sa.Column("target", sa.Text),
        sa.Column("running", sa.Text),
        sa.Column("drifts", sa.Text, nullable=False),
        sa.Column("drift_since", sa.Float),
        sa.Column("units_desired", sa.Integer, nullable=False),
        sa.Column("units_active", sa.Integer, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_table(
        "machines",
        sa.Column("host", sa.Text, primary_key=True),
        sa.Column("machine_id", sa.Text, nullable=False),
    )


def _commits_and_evaluations() -> None:
    op.create_table(
        "commits",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("tree", sa.Text, nullable=False),
        sa.Column("branch", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("committed_at", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "evaluations",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("saved_at", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("host", sa.Text),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_of_host", "events", ["host", "seq"])
