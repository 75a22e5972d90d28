"""By which way each host was reached, with which system."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; until the next look it is empty."""
    op.create_table(
        "ways",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("toplevel", sa.Text, nullable=False),
        sa.Column("way", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ways_of_host", "ways", ["host", "toplevel"], unique=True)
