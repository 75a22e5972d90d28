"""What came with an attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; of earlier attempts nothing is known."""
    op.create_table(
        "brought",
        sa.Column(
            "attempt",
            sa.Integer,
            sa.ForeignKey("attempts.seq", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("pending", sa.Boolean, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
    )
