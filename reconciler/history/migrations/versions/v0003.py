"""What an attempt must be followed by, should the program end before it does."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; attempts from before have no row in it."""
    op.create_table(
        "guards",
        sa.Column(
            "attempt",
            sa.Integer,
            sa.ForeignKey("attempts.seq", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("boot_id", sa.Text, nullable=False),
        sa.Column("baseline", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
    )
