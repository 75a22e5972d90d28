"""Workers that share the hosts among them, and which of them has each host."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables; nobody has a host until the first worker takes it."""
    op.create_table(
        "workers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("process", sa.Integer, nullable=False),
        sa.Column("session", sa.Text, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("heard", sa.Float, nullable=False),
        sa.Column("leads", sa.Boolean, nullable=False),
    )
    op.create_table(
        "identity",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("driver", sa.Text, nullable=False),
    )
    op.create_table(
        "takes",
        sa.Column("host", sa.Text, primary_key=True),
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            nullable=False,
        ),
        sa.Column("worker", sa.Text, nullable=False),
    )
    op.create_index("takes_of_worker", "takes", ["worker"])
