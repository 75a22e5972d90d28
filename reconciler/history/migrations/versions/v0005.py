"""What was told of hosts, letters on their way to people, marks on commits."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "told",
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "letters",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        *_sending(),
        sqlite_autoincrement=True,
    )
    op.create_index("letters_once", "letters", ["target", "key"], unique=True)
    op.create_index("letters_waiting", "letters", ["target", "ended_at", "seq"])
    op.create_table(
        "marks",
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("commit_id", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("hosts", sa.Text, nullable=False),
        sa.Column("attempt", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        *_sending(),
    )


def _sending() -> list[sa.Column[object]]:
    return [
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_at", sa.Float, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.Column("accepted", sa.Boolean),
    ]
