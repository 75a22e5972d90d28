"""What evaluations looked at, and how the last commit was read for each host."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables; until a host is evaluated again they know nothing of it."""
    op.create_table(
        "lookings",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("base", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("puzzle", sa.Text, nullable=False),
        sa.Column("checkout", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("lookings_of_subject", "lookings", ["subject", "seq"])
    op.create_table(
        "looked",
        sa.Column("digest", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "evaluated",
        sa.Column("host", sa.Text, primary_key=True),
        sa.Column("commit_id", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("memory", sa.Integer),
    )
