"""Which files on hosts are keys that we delivered, and how many of them stand."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; statuses that were seen before know of no keys."""
    op.create_table(
        "delivered_keys",
        sa.Column("host", sa.Text, primary_key=True),
        sa.Column("path", sa.Text, primary_key=True),
    )
    # Not ALTER TABLE, which would leave another text than that of a new database.
    op.rename_table("statuses", "statuses_before")
    columns = _statuses()
    names = ", ".join(column.name for column in columns)
    op.create_table(
        "statuses",
        *columns,
        *(_count(name) for name in ("keys_desired", "keys_present")),
    )
    op.execute(
        f"INSERT INTO statuses ({names}) SELECT {names} FROM statuses_before"  # noqa: S608
    )
    op.drop_table("statuses_before")


def _statuses() -> list[sa.Column[object]]:
    """Return the columns that there were."""
    return [
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
    ]


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")
